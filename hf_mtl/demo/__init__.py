"""``hf-mtl demo``: a page to try a model, with Gradio.

Texts and pictures in; tags highlighted, probabilities as bars, boxes drawn. `make_demo` returns the page, for
``launch()`` here or in a Space; `shown` says what each component gets, and needs no Gradio.
"""

from __future__ import annotations

from hf_mtl.demo._page import make_demo
from hf_mtl.demo._values import kinds_of, shown

__all__ = ["kinds_of", "make_demo", "shown"]
