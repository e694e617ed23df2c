"""The counts of the hostile suite at the end of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["lines_of_counts"]


def lines_of_counts(stats: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """Yield a line for every kind of hostile case that ran, and one for all; none if none ran.

    Args:
        stats: The terminal reporter's reports by outcome.
    """
    table: dict[str, Counter[str]] = {}
    for outcome, label in (("passed", ""), ("failed", "failed"), ("xfailed", "expected to fail")):
        for report in stats.get(outcome, ()):
            path = Path(str(getattr(report, "nodeid", "")).partition("::")[0])
            if path.parent.name != "hostile":
                continue
            kind = path.stem.removeprefix("test_")
            if label:
                table.setdefault(kind, Counter())[label] += 1
                continue
            for name, verdict in report.user_properties:
                if name == "hostile":
                    table.setdefault(kind, Counter())[verdict] += 1
    for kind, counts in sorted(table.items()):
        shown = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        yield f"{kind:10} {counts.total():4}: {shown}"
    if table:
        yield f"{'all':10} {sum(counts.total() for counts in table.values()):4}"
