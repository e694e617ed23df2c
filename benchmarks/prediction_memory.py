"""Does answering more rows take more memory? Peak memory of ``hf-mtl predict``, a fresh process a size and format.

python benchmarks/prediction_memory.py
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from reporting import fresh, parse, peak_megabytes, report


def save_model(folder: Path) -> None:
    """Save a model with a tiny encoder and four tasks."""
    from generated import INTENTS, TAGS, save_encoder
    from transformers import AutoTokenizer

    from hf_mtl import MultiTaskModel, TaskConfig

    encoder = save_encoder(folder / "encoder")
    tasks = [
        TaskConfig("intent", "sequence-classification", labels=INTENTS),
        TaskConfig("mood", "sentiment", labels=["bad", "good"]),
        TaskConfig("tags", "token-classification", labels=TAGS),
        TaskConfig("similarity", "regression"),
    ]
    MultiTaskModel.from_encoder(encoder, tasks).save_pretrained(folder / "model")
    AutoTokenizer.from_pretrained(encoder).save_pretrained(folder / "model")


def write(folder: Path, rows: int) -> None:
    """Write the same texts in each format."""
    from datasets import Dataset
    from generated import sentences

    texts = [" ".join(words) for words in sentences(rows, seed=0)]
    data = Dataset.from_dict({"text": texts, "id": list(range(rows))})
    data.to_json(folder / f"{rows}.jsonl")
    data.to_csv(folder / f"{rows}.csv")
    data.to_parquet(folder / f"{rows}.parquet")


def predict(folder: Path, rows: int, ending: str) -> dict[str, Any]:
    """Answer a file; return the peak before and after, in MB, and the seconds."""
    import typer

    from hf_mtl.cli import app

    command = typer.main.get_command(app)
    small, output = str(folder / f"64.{ending}"), str(folder / f"out-{rows}.{ending}")

    def call(source: str) -> None:
        try:
            command.main(["predict", str(folder / "model"), source, "-o", output, "--overwrite"], standalone_mode=True)
        except SystemExit as end:
            if end.code:
                raise

    call(small)  # what loading takes is no growth
    before, start = peak_megabytes(), time.perf_counter()
    call(str(folder / f"{rows}.{ending}"))
    return {"before": before, "peak": peak_megabytes(), "seconds": time.perf_counter() - start}


def main() -> None:
    """Compare a small and a large file of each format."""
    parser = parse(__doc__)
    parser.add_argument("--predict", nargs=3, metavar=("FOLDER", "ROWS", "ENDING"), help="answer here and print JSON")
    parser.add_argument("--sizes", type=int, nargs=2, default=[2_000, 200_000])
    parser.add_argument("--formats", nargs="+", default=["jsonl", "csv", "parquet"])
    options = parser.parse_args()
    if options.predict:
        folder, rows, ending = options.predict
        print(json.dumps(predict(Path(folder), int(rows), ending)))
        return
    sizes = (64, 600) if options.quick else options.sizes
    cells, facts = [], []
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder))
        for rows in {64, *sizes}:
            write(Path(folder), rows)
        for ending in ["jsonl"] if options.quick else options.formats:
            fewest = None
            for rows in sizes:
                found = fresh(__file__, "--predict", folder, rows, ending)
                fewest = fewest or found["peak"]
                facts.append({"format": ending, "rows": rows, **found})
                growth = f"{found['peak'] - fewest:+.1f} MB"
                cells.append([ending, f"{rows:,}", f"{found['peak']:.0f} MB", growth, f"{found['seconds']:.1f} s"])
    columns = ["format", "rows", "peak memory", "against the fewest rows", "time"]
    report("Memory of a bulk prediction", columns, cells, {"runs": facts})


if __name__ == "__main__":
    sys.exit(main())
