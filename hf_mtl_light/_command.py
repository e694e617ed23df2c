"""``hf-mtl-light predict``: the answers of an exported folder, from a shell without torch."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

from hf_mtl_light._predictor import OnnxPredictor
from hf_mtl_light.answering import STRATEGIES
from hf_mtl_light.errors import UserError, library_errors_name
from hf_mtl_light.inference import BATCH_TOKENS, LOOK_AHEAD
from hf_mtl_light.outputs import written_whole
from hf_mtl_light.text import terminal_text

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or 2 after a user's mistake, which one line on stderr names.

    Args:
        arguments: Those after the command's name; ``None``: the process's.
    """
    asked = _parser().parse_args(arguments)
    try:
        _predict(asked)
    except BrokenPipeError:
        return 1  # what reads our output has ended
    except (UserError, OSError) as error:
        print(f"error: {terminal_text(' '.join(str(error).split()))}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("hf-mtl-light", description="Answers of exported multi-task models.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    predict = commands.add_parser(
        "predict",
        help="answer every task for each row of a file, or for one text",
        description="Answer every task for each row of a file, or for one text. A row's fields are kept, and each "
        "task's answer is added under the task's name; a field that has a task's name is kept as input_<name>.",
    )
    predict.add_argument("folder", type=Path, help="what hf-mtl export MODEL FOLDER --to onnx wrote")
    predict.add_argument("input", help="a .jsonl file, a .txt file with a text a line, - for stdin, or one text")
    predict.add_argument("-o", "--output", type=Path, help="JSON Lines; stdout by default")
    predict.add_argument("--tasks", help="names of the tasks to answer, with commas; all by default")
    predict.add_argument("--stride", type=int, help="read long texts in windows that share so many tokens")
    predict.add_argument("--aggregation-strategy", choices=STRATEGIES, help="how tokens become entities")
    predict.add_argument("--batch-tokens", type=int, default=BATCH_TOKENS, help="the most tokens of one pass")
    predict.add_argument("--threads", type=int, help="threads of one operator")
    return parser


def _predict(asked: argparse.Namespace) -> None:
    path = Path(asked.input)
    is_text = asked.input != "-" and not path.is_file() and path.suffix.lower() not in _ENDINGS
    if asked.input != "-" and not is_text and not path.is_file():
        raise UserError(f"{asked.input}: no such file.")
    predictor = OnnxPredictor(asked.folder, threads=asked.threads)
    tasks = None if asked.tasks is None else [name.strip() for name in asked.tasks.split(",") if name.strip()]
    answerer = predictor.answerer(
        tasks=tasks,
        stride=asked.stride,
        aggregation_strategy=asked.aggregation_strategy,
        batch_tokens=asked.batch_tokens,
    )
    rows = iter([asked.input]) if is_text else _rows(path)
    with nullcontext(sys.stdout.buffer) if asked.output is None else written_whole(asked.output) as output:
        while chunk := list(islice(rows, LOOK_AHEAD)):
            for row, answers in zip(chunk, answerer(chunk, asked.input), strict=True):
                output.write(json.dumps(_joined(row, answers), ensure_ascii=False).encode() + b"\n")
        output.flush()


_ENDINGS = (".jsonl", ".json", ".txt")


def _rows(path: Path) -> Iterator[Any]:
    """Yield the rows of a file, or of stdin: JSON objects, or texts."""
    is_stdin = str(path) == "-"
    name = "stdin" if is_stdin else str(path)
    is_json = path.suffix.lower() in (".jsonl", ".json")
    with nullcontext(sys.stdin.buffer) if is_stdin else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            with library_errors_name(f"{name}, line {number}"):
                text = line.decode("utf-8-sig").rstrip("\r\n")
                if number == 1 and is_stdin:
                    is_json = text.lstrip().startswith("{")
                row = json.loads(text) if is_json and text.strip() else text
            if row or not is_json:
                yield row


def _joined(row: Any, answers: Mapping[str, Any]) -> dict[str, Any]:
    fields = row if isinstance(row, Mapping) else {"text": row}
    kept = {f"input_{name}" if name in answers else name: value for name, value in fields.items()}
    return {**kept, **answers}
