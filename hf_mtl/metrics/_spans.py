"""The spans that a row of IOB-like tags marks, read leniently or strictly."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from hf_mtl_light.errors import UserError

Span: TypeAlias = tuple[str, int, int]
"""Type, first word, and the word after the last, counted from 0 within the row."""

_Tag: TypeAlias = tuple[str, str]
_Rules: TypeAlias = frozenset[tuple[str, str, bool]]

_OUTSIDE: _Tag = ("O", "_")


class _Scheme(NamedTuple):
    """Which pairs of neighbouring tags start, continue and end a span: (prefix, next prefix, whether types agree)."""

    prefixes: str
    starts: _Rules
    continues: _Rules
    ends: _Rules


def _rules(text: str, prefixes: str) -> _Rules:
    """Expand rules such as ``"BI="``: prefix or ``?`` for any, next prefix, types equal (=), different (!), any (*)."""
    return frozenset(
        (prefix, rule[1], same)
        for rule in text.split()
        for prefix in (prefixes if rule[0] == "?" else rule[0])
        for same in (True, False)
        if rule[2] == "*" or same == (rule[2] == "=")
    )


def _scheme(prefixes: str, *, starts: str, continues: str, ends: str) -> _Scheme:
    return _Scheme(prefixes, _rules(starts, prefixes), _rules(continues, prefixes), _rules(ends, prefixes))


_SCHEMES = {
    "IOB1": _scheme("IOB", starts="OI* II! BI* IB= BB=", continues="BI= II=", ends="II! IO* IB* BO* BI! BB="),
    "IOB2": _scheme("IOB", starts="?B*", continues="BI= II=", ends="IO* II! IB* BO* BI! BB*"),
    "IOBES": _scheme(
        "IOBES",
        starts="?B* ?S*",
        continues="BI= BE= II= IE=",
        ends="SI* SO* SB* SE* SS* EI* EO* EB* EE* ES*",
    ),
}
SCHEMES = tuple(_SCHEMES)


def lenient_spans(tags: Sequence[str]) -> set[Span]:
    """Return the spans of one row, forgiving illegal tag sequences as conlleval and seqeval's default mode do.

    A span starts at B or S, at I or E after O, E or S, and wherever the type changes; it ends before the next start or
    O, and after E or S. So ``O I-PER`` opens a span. Tags with another first letter are read by the same rules, within
    their row: in seqeval such a tag without a type can depend on the row before.

    Args:
        tags: Non-empty strings, one per word: a prefix letter, ``-``, a type.

    Returns:
        The spans; type ``_`` where a tag names none.

    Source: ``get_entities`` of seqeval, https://github.com/chakki-works/seqeval

    >>> sorted(lenient_spans(["O", "I-PER", "I-PER", "I-LOC"]))
    [('LOC', 3, 4), ('PER', 1, 3)]
    """
    spans: set[Span] = set()
    before, type_before = _OUTSIDE
    start = 0
    for word, tag in enumerate((*tags, "O")):
        prefix, type_ = _split_lenient(tag)
        changed = type_ != type_before
        if before in "ES" or (before in "BI" and prefix in "BSO") or (changed and before not in "O."):
            spans.add((type_before, start, word))
        if prefix in "BS" or (prefix in "EI" and before in "ESO") or (changed and prefix not in "O."):
            start = word
        before, type_before = prefix, type_
    return spans


def strict_spans(tags: Sequence[str], *, scheme: str) -> set[Span]:
    """Return the spans of one row that are well formed in a tagging scheme; ill-formed ones count as none.

    Args:
        tags: Non-empty strings, one per word.
        scheme: One of `SCHEMES`.

    Returns:
        The spans; type ``_`` where a tag names none.

    Raises:
        ValueError: If a tag starts with a letter that the scheme does not have.

    Source: ``scheme.Tokens`` of seqeval, https://github.com/chakki-works/seqeval

    >>> sorted(strict_spans(["O", "I-PER", "B-PER", "I-PER"], scheme="IOB2"))
    [('PER', 2, 4)]
    """
    prefixes, starts, continues, ends = _SCHEMES[scheme]
    words = [*map(_split_strict, tags), _OUTSIDE]
    for tag, (prefix, _) in zip(tags, words[:-1], strict=True):
        if prefix not in prefixes:
            raise UserError(f"expected tags that start with one of {', '.join(prefixes)} in {scheme}, found {tag!r}")
    spans: set[Span] = set()
    word = 0
    before = _OUTSIDE
    while word < len(words):
        start = word
        word += 1
        if _pair(before, words[start]) in starts:
            # The closing O continues nothing, so this stops at the end of the row.
            while _pair(words[word - 1], words[word]) in continues:
                word += 1
            if _pair(words[word - 1], words[word]) in ends:
                spans.add((words[start][1], start, word))
        before = words[word - 1]
    return spans


def span_reader(*, mode: str, scheme: str) -> Callable[[Sequence[str]], set[Span]]:
    """Return the function that reads one row in this mode.

    >>> sorted(span_reader(mode="strict", scheme="IOB2")(["I-PER"]))
    []
    """
    if mode == "default":
        return lenient_spans
    return lambda tags: strict_spans(tags, scheme=scheme)


def _pair(before: _Tag, after: _Tag) -> tuple[str, str, bool]:
    return before[0], after[0], before[1] == after[1]


# The two modes of seqeval part prefix and type differently; it shows in tags such as "B--X" or "BX".
@lru_cache(maxsize=4096)
def _split_lenient(tag: str) -> _Tag:
    return tag[0], tag[1:].split("-", 1)[-1] or "_"


@lru_cache(maxsize=4096)
def _split_strict(tag: str) -> _Tag:
    return tag[0], tag[1:].strip("-") or "_"
