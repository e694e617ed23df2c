"""Text of strangers (labels, names, file contents) made harmless where it is shown: on a terminal, in Markdown."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

__all__ = ["cell_text", "markdown_text", "redacted", "terminal_text"]

_PICTURES = 0x2400  # the block of pictures of control characters


def _table() -> dict[int, str]:
    """Return what is shown for each character that a terminal obeys, or that hides others: one character each."""
    table = {}
    for code in [*range(0xA0), *range(0x2000, 0x2070), 0xFEFF, *range(0xD800, 0xE000)]:
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp") and chr(code) not in "\n\t\u200c\u200d":
            table[code] = chr(_PICTURES + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"
    return table


_SHOWN = _table()


def terminal_text(text: str) -> str:
    r"""Return a text without escape sequences and other control characters; line ends and tabs stay.

    >>> terminal_text("\x1b[31mred\x9b2J")
    '␛[31mred�2J'
    """
    return text.translate(_SHOWN)


#: What begins an HTML tag, comment or entity, a link, an image, code, or a column.
_LIVE = re.compile(r"[&<>\[\]|`\\*_!]")


def markdown_text(text: str) -> str:
    """Return a text that Markdown shows as it is: no tag, link or image, on one line, also within a table.

    >>> markdown_text("<b>a|b</b>")
    '&lt;b&gt;a&#124;b&lt;/b&gt;'
    """
    named = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    text = " ".join(terminal_text(text).split())
    text = re.sub(r"(?<=\w)_(?=\w)", "\0", text)  # within a word an underscore is one
    return _LIVE.sub(lambda m: named.get(m[0], f"&#{ord(m[0])};"), text).replace("\0", "_")


def cell_text(text: str) -> str:
    """Return a name as code in Markdown, also within a table.

    HTML's element, where the name holds what would end Markdown's own.

    >>> cell_text("intent"), cell_text("a|b")
    ('`intent`', '<code>a&#124;b</code>')
    """
    shown = " ".join(terminal_text(text).split())
    return f"<code>{markdown_text(text)}</code>" if not shown or set("`|\\<") & set(shown) else f"`{shown}`"


_HIDDEN = "<hidden>"
_SECRET_NAME = re.compile(r"(^|_)(token|secret|password|passwd|api_key|apikey|access_key|credentials?)$", re.IGNORECASE)
_SECRETS = (
    re.compile(r"\bhf_[A-Za-z0-9]{20,}"),  # a token of the Hub
    re.compile(r"(?<=://)[^/\s@]+(?=@)"),  # user:password@host
    re.compile(r"(?i)(?<=[?&])((?:[\w-]*(?:token|secret|signature|sig|key|password|credential))=)[^&\s#'\"]+"),
    re.compile(
        r"(?i)\b((?:hub_token|token|password|secret|api_key)[\"']?\s*[=:]\s*[\"']?)(?!None\b|null\b)[^\s\"',}&]+"
    ),
    re.compile(r"(?i)\b(Bearer\s+)[\w.~+/-]+=*"),
)


def redacted(value: Any, name: str = "") -> Any:
    """Return a JSON value without secrets: tokens, passwords, and those within addresses.

    Args:
        value: The value; mappings and lists are gone through.
        name: What it is called, such as ``"hub_token"``.

    >>> redacted({"hub_token": "abc", "url": "https://me:pw@host/a?token=x&b=1"})
    {'hub_token': '<hidden>', 'url': 'https://<hidden>@host/a?token=<hidden>&b=1'}
    """
    if isinstance(value, dict):
        return {key: redacted(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(item, name) for item in value]
    if not isinstance(value, str) or not value:
        return value
    if _SECRET_NAME.search(name):
        return _HIDDEN
    for pattern in _SECRETS:
        value = pattern.sub(lambda m: f"{m[1] if m.re.groups else ''}{_HIDDEN}", value)
    return value
