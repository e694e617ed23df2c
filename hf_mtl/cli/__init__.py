"""The command line: ``hf-mtl train``, ``evaluate``, ``predict``, ``export``, ``push``, ``heads``, ``merge``.

One file a command. A command imports what it needs when it runs, so that ``--help`` and mistakes on the command line
need no torch of theirs.
"""

from __future__ import annotations

from hf_mtl.cli._app import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line."""
    app()
