"""A page of HTML that needs nothing beside it: no network, no script."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from hf_mtl.report._style import STYLE
from hf_mtl.report._text import printable

__all__ = ["framed"]


def framed(title: str, facts: Mapping[str, str], sections: Mapping[str, str]) -> str:
    """Return a page.

    Args:
        title: Its title.
        facts: What to say at its head: name and value.
        sections: The HTML of each section by its id; empty ones are left out.
    """
    head = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(printable(value))}</dd></div>" for name, value in facts.items()
    )
    body = "".join(f'<section id="{name}">{content}</section>\n' for name, content in sections.items() if content)
    shown = escape(printable(title))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        # Nothing is fetched and nothing runs, whatever the names hold.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{shown}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{shown}</h1>\n<dl>{head}</dl>\n{body}</body>\n</html>\n"
    )
