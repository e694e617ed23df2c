"""What sharing did, for the run's report and on the model's card."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_mtl.model_card import write_section
from hf_mtl_light.outputs import write_text_whole
from hf_mtl_light.text import cell_text, markdown_text

__all__ = ["sharing_text", "write_sharing"]


def write_sharing(place: Path, rows: Sequence[Mapping[str, Any]], seeds: int) -> None:
    """Write the comparison into a run's folder: for its report, and as a section of its card.

    Args:
        place: The run's folder.
        rows: For each task what `compare` found.
        seeds: Over how many seeds.
    """
    write_text_whole(place / "sharing.json", json.dumps({"seeds": seeds, "tasks": list(rows)}, indent=2) + "\n")
    write_section(place / "README.md", "sharing", "What sharing did", sharing_text(rows, seeds))


def sharing_text(rows: Sequence[Mapping[str, Any]], seeds: int) -> str:
    """Return a Markdown table of a comparison, and a line that names what was hurt."""
    lines = [
        "Each task was also trained alone, with the same encoder, rows, arguments and seeds "
        f"({seeds} seed{'s' if seeds > 1 else ''}).",
        "",
        "| task | metric | alone | together | difference | 95 % interval | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["low"], row["high"]
        difference = f"{row['difference']:+.4f}"
        interval = "-" if low is None or math.isnan(low) else f"{low:+.4f} to {high:+.4f}"
        numbers = [f"{row[side]:.4f}" for side in ("alone", "together")]
        names = [cell_text(str(row["task"])), markdown_text(str(row["metric"]))]
        lines.append(f"| {' | '.join([*names, *numbers, difference, interval, row['verdict']])} |")
    hurt = [str(row["task"]) for row in rows if row["verdict"] == "hurt"]
    if hurt:
        lines += ["", f"Sharing hurt: {', '.join(cell_text(task) for task in hurt)}."]
    return "\n".join(lines)
