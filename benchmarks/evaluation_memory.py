"""Does evaluating more rows take more memory? Peak memory of `MultiTaskTrainer.evaluate`, a fresh process a size.

A third of the rows each for a classification, a tagging and a regression task, at their default metrics. The data is
read from disk as `datasets.load_dataset` gives it. Two figures: all resident memory, in which pages of the data's files
that have been read count, too; and the memory that the process itself has filled, without them.

    python benchmarks/evaluation_memory.py
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from reporting import fresh, own_memory_peak, parse, peak_megabytes, report


def write(folder: Path, rows: int) -> None:
    """Write the three datasets with ``rows`` rows together."""
    from datasets import Dataset
    from generated import INTENTS, TAGS, sentences

    each = rows // 3
    words = [sentences(each, seed) for seed in range(4)]
    texts = [[" ".join(row) for row in part] for part in words]
    parts = {
        "requests": {"text": texts[0], "intent": [INTENTS[len(row) % 4] for row in words[0]]},
        "names": {"tokens": words[1], "tags": [[TAGS[len(word) % 5] for word in row] for row in words[1]]},
        "pairs": {
            "text": texts[2],
            "text_pair": texts[3],
            "similarity": [len(row) / 20 for row in words[2]],
        },
    }
    for name, columns in parts.items():
        Dataset.from_dict(columns).save_to_disk(str(folder / name))


def evaluate(folder: Path, precision: str) -> dict[str, Any]:
    """Evaluate the datasets of a folder; return the peak before and after, and its own, in MB, and the seconds."""
    from datasets import load_from_disk
    from generated import INTENTS, TAGS
    from transformers import AutoTokenizer

    from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig

    encoder = str(folder.parent / "encoder")
    tasks = [
        TaskConfig("intent", "sequence-classification", labels=INTENTS),
        TaskConfig("tags", "token-classification", labels=TAGS),
        TaskConfig("similarity", "regression"),
    ]
    arguments = MultiTaskTrainingArguments(
        str(folder / "out"), per_device_eval_batch_size=64, use_cpu=True, disable_tqdm=True, precision=precision
    )
    data = {name: load_from_disk(str(folder / name)) for name in ("requests", "names", "pairs")}
    trainer = MultiTaskTrainer(
        MultiTaskModel.from_encoder(encoder, tasks),
        arguments,
        eval_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(encoder),
    )
    before = peak_megabytes()
    with own_memory_peak() as own:
        metrics = trainer.evaluate()
    seconds = metrics["eval_runtime"]
    return {"before": before, "peak": peak_megabytes(), "own": own.get("peak"), "seconds": seconds}


def main() -> None:
    """Compare a small and a large evaluation."""
    parser = parse(__doc__)
    parser.add_argument("--evaluate", nargs=2, metavar=("FOLDER", "PRECISION"), help="evaluate here and print JSON")
    options = parser.parse_args()
    if options.evaluate:
        folder, precision = options.evaluate
        print(json.dumps(evaluate(Path(folder), precision)))
        return
    sizes = (300, 1500) if options.quick else (2_000, 200_000)
    cells, facts = [], []
    with tempfile.TemporaryDirectory() as folder:
        from generated import save_encoder

        save_encoder(Path(folder) / "encoder")
        for rows in sizes:
            write(Path(folder) / str(rows), rows)
        for precision in ("float32",) if options.quick else ("float32", "bfloat16"):
            fewest: dict[str, Any] = {}
            for rows in sizes:
                place = Path(folder) / str(rows)
                data = sum(file.stat().st_size for file in place.rglob("*.arrow")) / 1e6
                found = fresh(__file__, "--evaluate", place, precision)
                fewest = fewest or found
                facts.append({"precision": precision, "rows": rows, "data": data, **found})
                megabytes = [f"{data:.1f} MB"]
                for kind in ("peak", "own"):
                    known = found[kind] is not None
                    megabytes += (
                        [f"{found[kind]:.0f} MB", f"{found[kind] - fewest[kind]:+.1f} MB"] if known else ["", ""]
                    )
                cells.append([precision, f"{rows:,}", *megabytes, f"{found['seconds']:.1f} s"])
    against = "against the fewest rows"
    columns = ["precision", "rows", "data on disk", "peak memory", against, "without files", against, "time"]
    report("Memory of an evaluation", columns, cells, {"runs": facts})


if __name__ == "__main__":
    sys.exit(main())
