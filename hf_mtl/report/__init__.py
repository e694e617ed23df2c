"""A training run as one page: what its logs say of every task and dataset, drawn.

`read_run` reads a run folder, `render_report` turns it into HTML that needs nothing else: no network, no script. The
same run gives the same bytes. Drawing needs matplotlib: ``pip install 'hf-mtl[report]'``.
"""

from __future__ import annotations

from hf_mtl.report._errors_page import render_errors
from hf_mtl.report._history import Run, Series, read_run
from hf_mtl.report._page import render_report

__all__ = ["Run", "Series", "read_run", "render_errors", "render_report"]
