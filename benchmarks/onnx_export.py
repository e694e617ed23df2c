"""Exported graphs against torch on real texts: how far logits and decisions change, metric lost, size and speed.

Trains a model for intent and slots (snips), question types (trec), sentiment (sst2) and similarity (stsb) with each
seed, or takes those that were trained on tasks of these names; exports each in float32 and in int8. Each task is
compared on the whole test split of its data. Processor times are of one thread, of the first model, sorted by length
in batches of 16, in turn.

    python benchmarks/onnx_export.py --encoder ENCODER --data DATA --seeds 1 2
    python benchmarks/onnx_export.py --model MODEL MODEL --data DATA
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from generated import inputs
from real_data import Task, load_folder, task_config
from reporting import in_turn, parse, report
from transformers import AutoTokenizer, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, OnnxPredictor, TaskConfig
from hf_mtl.data import MultiTaskCollator, Row, longest_input
from hf_mtl.export import export_onnx
from hf_mtl.heads import Head
from hf_mtl.metrics import METRICS
from hf_mtl_light.words import WordMap

#: Task -> folder, label column, type, metric.
TASKS = {
    "intent": ("snips", "intent", "sequence-classification", "accuracy"),
    "slots": ("snips", "slot_tags", "token-classification", "seqeval"),
    "question_type": ("trec", "coarse", "sequence-classification", "accuracy"),
    "sentiment": ("sst2", "label", "sentiment", "accuracy"),
    "similarity": ("stsb", "score", "regression", "pearson"),
}
INPUTS = {"sentence1": "text", "sentence2": "text_pair"}
BATCH = 16


def read(data: Path, split: str, rows: int | None) -> tuple[list[TaskConfig], dict[str, Dataset]]:
    """Return the tasks and, by folder, a split whose columns are named after tasks."""
    tasks, found = [], {}
    for name, (folder, column, kind, _) in TASKS.items():
        whole = load_folder(data / folder)
        tasks.append(task_config(name, Task(folder, (), column, kind), whole))
        part = found.get(folder, whole[split])
        part = part if column == name else part.rename_column(column, name)
        part = part.rename_columns({old: new for old, new in INPUTS.items() if old in part.column_names})
        found[folder] = part
    for folder, part in found.items():
        kept = [column for column in part.column_names if column in (*INPUTS.values(), "tokens", *TASKS)]
        if "tokens" in kept and "text" in kept:
            kept.remove("text")
        found[folder] = part.select_columns(kept).select(range(min(len(part), rows or len(part))))
    return tasks, found


def train(options: argparse.Namespace, folder: str, seed: int) -> MultiTaskModel:
    """Train a model on the training splits."""
    tasks, data = read(Path(options.data), "train", options.train_rows)
    set_seed(seed)
    model = MultiTaskModel.from_encoder(options.encoder, tasks)
    arguments = MultiTaskTrainingArguments(
        folder,
        seed=seed,
        num_train_epochs=options.epochs,
        learning_rate=1e-4,
        per_device_train_batch_size=32,
        save_strategy="no",
        disable_tqdm=True,
        report_to=[],
    )
    MultiTaskTrainer(model, arguments, data, processing_class=AutoTokenizer.from_pretrained(options.encoder)).train()
    return model.eval()


class Torch:
    """The Python model's logits, batches sorted by length as the predictor's are."""

    def __init__(self, model: MultiTaskModel, tokenizer: Any) -> None:
        self.model = model
        longest = longest_input(tokenizer, model.config.encoder_config)
        self.collator = MultiTaskCollator(tokenizer, [], {}, longest)

    def logits(self, given: Sequence[dict[str, Any]], batch_size: int) -> list[dict[str, Any]]:
        """Return each input's logits by task."""
        rows = [Row("texts", n, row.get("tokens") or row["text"], row.get("text_pair")) for n, row in enumerate(given)]
        order = sorted(range(len(rows)), key=lambda n: -len(str(rows[n].text)))
        results: list[dict[str, Any]] = [{} for _ in rows]
        for start in range(0, len(rows), batch_size):
            chosen = order[start : start + batch_size]
            batch, _ = self.collator.encode([rows[n] for n in chosen])
            with torch.inference_mode():
                found = self.model(**batch).logits
            lengths = batch["attention_mask"].sum(1).tolist()
            for name, values in found.items():
                tokens = self.model.task_heads[name].level == "token"
                for n, row, length in zip(chosen, values.numpy(), lengths, strict=True):
                    results[n][name] = row[:length] if tokens else row
        return results

    def words(self, given: Sequence[dict[str, Any]]) -> list[WordMap]:
        """Return what became of each input's words."""
        rows = [Row("texts", n, row.get("tokens") or row["text"], row.get("text_pair")) for n, row in enumerate(given)]
        return [self.collator.encode([row])[1][0] for row in rows]


def score(head: Head, name: str, logits: Sequence[Any], words: Sequence[WordMap], labels: Sequence[Any]) -> float:
    """Return the task's metric, in points of a hundred."""
    predictions = [head.predictions(torch.tensor(row)[None], [w])[0] for row, w in zip(logits, words, strict=True)]
    references = [head.reference(head.task, label) for label in labels]
    metric = TASKS[name][3]
    result = METRICS[metric]().compute(predictions=predictions, references=references)
    return 100 * float(result["f1" if metric == "seqeval" else metric])


def clock(run: Callable[[], Any]) -> float:
    """Return the processor seconds of a call."""
    started = time.process_time()
    run()
    return time.process_time() - started


def main() -> None:
    """Train or load, export, compare and print the tables."""
    parser = parse(__doc__)
    parser.add_argument("--model", nargs="+", default=[], help="folders of trained models with tasks of these names")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="of the models that are trained")
    parser.add_argument("--train-rows", type=int, default=3000, help="of each dataset")
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--texts", type=int, default=1000, help="texts that are timed")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.quick:
        options.texts, options.rounds = 40, 1
    if options.model and not options.encoder:
        options.encoder = options.model[0]
    with inputs(parser, options), tempfile.TemporaryDirectory() as folder:
        if not options.model:
            options.model = [f"{folder}/torch-{seed}" for seed in options.seeds]
            for place, seed in zip(options.model, options.seeds, strict=True):
                train(options, folder, seed).save_pretrained(place)
        torch.set_num_threads(1)
        rows: list[list[str]] = []
        facts: dict[str, Any] = {}
        for number, place in enumerate(options.model):
            # Loaded again: a model that was trained in this process still computes in the trainer's bfloat16.
            model = MultiTaskModel.from_pretrained(place)
            contestants = export(model, options, Path(folder) / str(number))
            _, data = read(Path(options.data), "test", None)
            if number == 0:
                take_times(contestants, data, options, Path(folder) / str(number))
            for cells, found in compare(model, contestants, data):
                rows.append([f"{number + 1}, {cells[0]}", *cells[1:]])
                facts[rows[-1][0]] = found
    head = ["model, task, graph", "change of the logits, %", "largest", "equal decisions", "metric, points", "lost"]
    report("Exported graphs, task by task", head, rows, facts)


def export(model: MultiTaskModel, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Export a model; return what gives logits, torch first."""
    tokenizer = AutoTokenizer.from_pretrained(options.encoder)
    contestants: dict[str, Any] = {"torch float32": Torch(model, tokenizer)}
    for name, how in (("float32", None), ("int8", "int8")):
        export_onnx(model, tokenizer, folder / name, quantize=how, least_agreement=0.0)
        contestants[f"onnx {name}"] = OnnxPredictor(folder / name, threads=1)
    return contestants


def take_times(
    contestants: dict[str, Any], data: dict[str, Dataset], options: argparse.Namespace, folder: Path
) -> None:
    """Time all contestants in turn and print the table."""
    texts = [row for part in data.values() for row in part.select_columns(_columns(part)).select(_some(part, options))]
    runs = {
        name: (lambda one=one: clock(lambda: one.logits(texts, batch_size=BATCH))) for name, one in contestants.items()
    }
    times = in_turn(runs, options.rounds)
    rows, facts = [], {}
    files = Path(options.model[0]) / "model.safetensors", folder / "float32/model.onnx", folder / "int8/model.onnx"
    for name, file in zip(contestants, files, strict=True):
        ratios = [a / b for a, b in zip(times["torch float32"], times[name], strict=True)]
        speed = len(texts) / statistics.median(times[name])
        size = os.path.getsize(file) / 1e6
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rows.append([name, f"{size:.1f}", f"{speed:.0f}", f"{statistics.median(ratios):.2f}", spread])
        facts[name] = {"megabytes": size, "texts_a_second": speed, "against_torch": ratios}
    head = ["", "MB", "texts a second", "times torch's speed", "of the rounds"]
    report(f"Exported graphs, {len(texts)} texts of the test splits", head, rows, facts)


def compare(
    model: MultiTaskModel, contestants: dict[str, Any], data: dict[str, Dataset]
) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Yield for each task and graph the cells of a row, and the figures."""
    for folder, part in data.items():
        given = list(part.select_columns(_columns(part)))
        logits = {name: one.logits(given, batch_size=BATCH) for name, one in contestants.items()}
        words = contestants["torch float32"].words(given)
        for task in (task for task in model.tasks if TASKS[task.name][0] == folder):
            feature = getattr(part.features[task.name], "feature", part.features[task.name])
            labels = [_named(value, getattr(feature, "names", None)) for value in part[task.name]]
            of_task = {name: [row[task.name] for row in rows] for name, rows in logits.items()}
            head = model.task_heads[task.name]
            scores = {name: score(head, task.name, found, words, labels) for name, found in of_task.items()}
            base = of_task.pop("torch float32")
            for name, mine in of_task.items():
                change, largest = _change(base, mine)
                lost = scores["torch float32"] - scores[name]
                cells = f"{change:.2g}", f"{largest:.2g}", _equal(task, base, mine), f"{scores[name]:.2f}"
                figures = {"change": change, "largest": largest, "equal": cells[2], "points_lost": lost}
                yield [f"{task.name}, {name}", *cells, f"{lost:+.2f}"], figures


def _change(base: Sequence[Any], mine: Sequence[Any]) -> tuple[float, float]:
    """Return how far logits are apart, in hundredths of their spread (root mean squares), and the largest change."""
    one, two = (np.concatenate([np.atleast_2d(row) for row in rows]) for rows in (base, mine))
    spread = one - one.mean(-1 if one.shape[-1] > 1 else 0, keepdims=True)
    return 100 * float(np.sqrt(((one - two) ** 2).mean() / (spread**2).mean())), float(np.abs(one - two).max())


def _columns(part: Dataset) -> list[str]:
    return [column for column in part.column_names if column in ("text", "text_pair", "tokens")]


def _some(part: Dataset, options: argparse.Namespace) -> range:
    return range(min(len(part), options.texts // len({folder for folder, *_ in TASKS.values()})))


def _equal(task: TaskConfig, base: Sequence[Any], mine: Sequence[Any]) -> str:
    if task.type == "regression":
        return "-"
    same = np.concatenate([np.atleast_1d(a.argmax(-1) == b.argmax(-1)) for a, b in zip(base, mine, strict=True)])
    return f"{same.sum():,} of {same.size:,}"


def _named(value: Any, names: Sequence[str] | None) -> Any:
    if names is None:
        return value
    return [names[item] for item in value] if isinstance(value, list) else names[value]


if __name__ == "__main__":
    main()
