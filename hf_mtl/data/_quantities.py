"""Texts that are written amounts, dates or times: a column of them may be classes, or may have been meant otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

__all__ = ["number_advice", "quantity_remark"]

#: Different texts up to which whole numbers, and numbers with a unit, are read as classes without a word.
_FEW = 20
#: Different texts from which on a format is no coincidence.
_ENOUGH = 3

_SIGN = r"[-+\u2212]?"
_PLAIN = rf"{_SIGN}(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?"
_GROUPED = rf"{_SIGN}[1-9]\d{{0,2}}(?:[,.'\u2019 \u00a0\u202f]\d{{3}})+(?:[.,]\d+)?"
_AMOUNT = rf"(?:{_GROUPED}|{_PLAIN})"
_WHOLE = re.compile(rf"{_SIGN}\d+")
_NUMBER = re.compile(_AMOUNT)
#: A comma that can only be a decimal one, and one that may be, or may group thousands.
_DECIMAL_COMMA = re.compile(r".*(?:,\d{0,2}|,\d{4,}|\..*,\d+|\D0,\d+|^0,\d+)")
_GROUPING_COMMA = re.compile(r".*,\d{3}[,.].*")
_CURRENCY = r"(?:[$\u20ac\u00a3\u00a5\u20b9\u20bd\u20a9]|[A-Z]{2,3}\$?)"
_MONTH = r"(?:[^\W\d_]{3,10}\.?)"
_YEAR = r"(?:\d{4}|\d{2})"
_DATE = (
    rf"(?:\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}|\d{{1,2}}[-/.]\d{{1,2}}[-/.]{_YEAR}"
    rf"|\d{{1,2}}\.?[ -]{_MONTH}[ -,]*{_YEAR}|{_MONTH} \d{{1,2}},? \d{{4}}|\d{{4}}-\d{{2}}|\d{{4}}-?W\d{{2}})"
)
_TIME = r"(?:\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp]\.?[Mm]\.?)?(?: ?(?:Z|UTC|[-+]\d{2}:?\d{2}))?)"
#: What is found, how it looks, from how many different texts on it is worth a word, and what to do for amounts.
_FORMS: tuple[tuple[str, re.Pattern[str], int, str], ...] = (
    ("dates or times", re.compile(rf"(?:{_DATE}(?:[T ,]*{_TIME})?|{_TIME})"), _ENOUGH, "write them as numbers"),
    ("percentages", re.compile(rf"{_AMOUNT}\s*[%\u2030]"), _ENOUGH, "leave the sign out"),
    (
        "sums of money",
        re.compile(rf"{_CURRENCY}\s?{_AMOUNT}|{_AMOUNT}\s?{_CURRENCY}"),
        _ENOUGH,
        "leave the currency out",
    ),
    ("fractions", re.compile(r"\d+\s*/\s*\d+"), _ENOUGH, "write them as decimals"),
    ("whole numbers", _WHOLE, _FEW + 1, "write them as numbers"),
    ("numbers with a unit", re.compile(rf"{_AMOUNT}\s?[^\W\d_]{{1,12}}"), _FEW + 1, "leave the unit out"),
)
#: Ways to write yes and no.
_TRUTH = {
    "true": True, "yes": True, "y": True, "t": True, "1": True, "1.0": True, "on": True,
    "false": False, "no": False, "n": False, "f": False, "0": False, "0.0": False, "off": False,
}  # fmt: skip


def number_advice(texts: Collection[str]) -> str | None:
    """Return how to load texts that are all numbers and not all whole ones; ``None`` for any others.

    >>> number_advice(["1,5", "2"])
    "with decimal: ','"
    >>> number_advice(["1,000", "2,500,000", "7"])
    "with thousands: ','"
    >>> number_advice(["1,250", "2,500"])
    "with decimal: ',' or thousands: ',', as they are meant,"
    >>> number_advice(["1", "2"])
    """
    if not _all(texts, _NUMBER.fullmatch) or _all(texts, _WHOLE.fullmatch):
        return None
    said = []
    if any("," in text for text in texts):
        is_decimal = any(map(_DECIMAL_COMMA.fullmatch, texts))
        is_grouping = any(map(_GROUPING_COMMA.fullmatch, texts))
        if is_decimal and is_grouping:
            return "as numbers of one form"
        said = [how for how, cannot in (("decimal: ','", is_grouping), ("thousands: ','", is_decimal)) if not cannot]
        if len(said) > 1:
            return f"with {' or '.join(said)}, as they are meant,"
        if is_decimal and any("." in text for text in texts):
            said.append("thousands: '.'")
    if sign := next((sign for text in texts for sign in text if sign in "'\u2019 \u00a0\u202f"), None):
        said.append(f"thousands: {sign!r}")
    if not said and _all([text for text in texts if "." in text], re.compile(_GROUPED).fullmatch):
        return "as numbers, or with thousands: '.', as they are meant,"
    return f"with {' and '.join(said)}" if said else "as numbers"


def quantity_remark(texts: Collection[str]) -> str | None:
    """Return what different texts seem to be where they may not be meant as classes, and what to do; else ``None``.

    >>> quantity_remark(["10%", "20%", "55%"])
    'percentages. For amounts leave the sign out'
    >>> quantity_remark(["low", "high"])
    """
    known = [_TRUTH[text.casefold()] for text in texts if text.casefold() in _TRUTH]
    folded = {text.casefold() for text in texts}
    if len(known) == len(texts) and len(folded) > 2:
        return "several spellings of yes and no. For two classes name them: labels: {no: ..., yes: ...}"
    for what, pattern, least, remedy in _FORMS:
        if len(texts) >= least and _all(texts, pattern.fullmatch):
            return f"{what}. For amounts {remedy}"
    return None


def _all(texts: Collection[str], matches: Callable[[str], object]) -> bool:
    return bool(texts) and all(map(matches, texts))
