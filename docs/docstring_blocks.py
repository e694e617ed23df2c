"""An extension of griffe, for the site: examples and formulas of docstrings become blocks of code."""

from __future__ import annotations

import re
from typing import Any

import griffe

__all__ = ["DocstringBlocks"]

#: Lines from ``>>>`` to the next empty line.
_EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
_FORMULA = re.compile(r"^\.\. math:: (.*)$", re.MULTILINE)


class DocstringBlocks(griffe.Extension):
    """Puts fences around doctests, and around formulas, which need no script so."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the docstring of a class, a function or a value."""
        if obj.docstring is not None:
            text = _EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", obj.docstring.value)
            obj.docstring.value = _FORMULA.sub(r"```text\n\1\n```", text)
