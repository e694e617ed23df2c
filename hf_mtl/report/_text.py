"""Names as a page can show them."""

from __future__ import annotations

import unicodedata

__all__ = ["printable"]


def printable(text: str, most: int | None = None) -> str:
    r"""Return a name without what cannot be shown, cut after ``most`` characters.

    >>> printable("a\x00b\nc"), len(printable("a long name", 6))
    ('a\ufffdb c', 6)
    """
    text = " ".join(text.split())
    text = "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") or c in "\ufffe\uffff" else c for c in text)
    return text if most is None or len(text) <= most else f"{text[: most - 1]}\u2026"
