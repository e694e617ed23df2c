"""Show a file of answers to a person: a line for the text, then one for each task.

python examples/demo/show.py runs/demo/answers.jsonl
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text


def in_words(answer: Any) -> str:
    """Describe one task's answer."""
    if isinstance(answer, list):
        return "; ".join(f"{entity['entity_group']} {entity['word']!r}" for entity in answer) or "nothing found"
    polarity = f", polarity {answer['polarity']:+.2f}" if "polarity" in answer else ""
    return f"{answer['label']} ({answer['score']:.0%}{polarity})"


def main(path: str) -> None:
    """Print the answers of a JSON Lines file."""
    console = Console()
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        console.print(Text(row.pop("text"), style="bold"))
        for task, answer in row.items():
            console.print(Text(f"  {task:<10}", style="cyan") + Text(in_words(answer)))


if __name__ == "__main__":
    main(sys.argv[1])
