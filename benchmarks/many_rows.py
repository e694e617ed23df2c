"""From ``hf-mtl train`` to the first step, by the number of rows: seconds and memory.

Each figure is of a fresh process that runs the command on a Parquet file of generated rows, which no cache holds, with
a tiny encoder; it ends after its first step. Memory is what the process has filled itself, without pages of files.
Sizes take turns.

    python benchmarks/many_rows.py --rows 30000 3000000
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from generated import INTENTS, TAGS, WORDS, save_encoder
from reporting import fresh, in_turn, own_memory_peak, parse, report

WIDTH, BLOCK = 8, 100_000
#: What rows hold: the columns of the recipe.
COLUMNS = {
    "texts and classes": "{text: text, intent: intent}",
    "words and tags": "{tokens: tokens, tags: names}",
}


def blocks(rows: int) -> Iterator[pa.Table]:
    """Yield rows of eight words, with a class, and with a tag for each word."""
    random, words, tags = np.random.default_rng(0), np.array(WORDS), np.array(TAGS)
    for start in range(0, rows, BLOCK):
        chosen = random.integers(0, len(WORDS), (min(BLOCK, rows - start), WIDTH))
        tokens = words[chosen].tolist()
        yield pa.table(
            {
                "text": [" ".join(row) for row in tokens],
                "tokens": tokens,
                "intent": np.array(INTENTS)[chosen[:, 0] % len(INTENTS)].tolist(),
                "tags": tags[np.where(chosen < 50, 1, 0)].tolist(),
            }
        )


def write(folder: Path, rows: int) -> None:
    """Write the training rows, 200 others to hold against them, and the recipes."""
    folder.mkdir()
    for split, count in (("train", rows), ("validation", min(rows, 200))):
        tables = blocks(count)
        first = next(tables)
        with pq.ParquetWriter(folder / f"{split}.parquet", first.schema) as file:
            file.write_table(first)
            for table in tables:
                file.write_table(table)
    for number, columns in enumerate(COLUMNS.values()):
        files = {split: str(folder / f"{split}.parquet") for split in ("train", "validation")}
        recipe = {
            "encoder": str(folder.parent / "encoder"),
            "datasets": {"rows": {"load": {"path": "parquet", "data_files": files}, "columns": "COLUMNS"}},
            "training": {"output_dir": str(folder / f"run{number}"), "max_steps": 1, "use_cpu": True},
        }
        text = json.dumps(recipe).replace('"COLUMNS"', columns)
        (folder / f"recipe{number}.yaml").write_text(text)


def first_step(recipe: str) -> None:
    """Run the command until its first step ends; print seconds, processor seconds and megabytes, and end."""
    started = time.perf_counter()
    datasets.config.HF_DATASETS_CACHE = tempfile.mkdtemp(dir=Path(recipe).parent)
    with own_memory_peak() as memory:
        from transformers import TrainerCallback, trainer

        from hf_mtl.cli import main

        class Clock(TrainerCallback):
            """Ends the process: what comes after the first step is not looked at."""

            def on_step_end(self, *args: Any, **kwargs: Any) -> None:
                found = {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time()}
                print(json.dumps({**found, "megabytes": memory.get("peak", 0.0)}), flush=True)
                os._exit(0)

        trainer.DEFAULT_CALLBACKS.append(Clock)
        sys.argv = ["hf-mtl", "train", recipe, "--overwrite"]
        main()


def main() -> None:
    """Time each size in turn."""
    parser = parse(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[30_000, 3_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--first-step", metavar="RECIPE", help="run until the first step and print the figures")
    options = parser.parse_args()
    if options.first_step:
        first_step(options.first_step)
        return
    if options.quick:
        options.rows, options.rounds = [1000], 1
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save_encoder(folder / "encoder")
        for rows in options.rows:
            write(folder / str(rows), rows)
        sides = {
            f"{rows:,} rows, {what}": lambda rows=rows, number=number: fresh(
                __file__, "--first-step", folder / str(rows) / f"recipe{number}.yaml"
            )
            for number, what in enumerate(COLUMNS)
            for rows in options.rows
        }
        found = in_turn(sides, options.rounds)
    cells = []
    for name, runs in found.items():
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        cells.append(
            [name, *(f"{middle[key]:.1f}" for key in ("seconds", "processor_seconds")), f"{middle['megabytes']:.0f}"]
        )
    report("To the first step", ["", "seconds", "of them processor", "MB"], cells, {"runs": found})


if __name__ == "__main__":
    sys.exit(main())
