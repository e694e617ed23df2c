"""An exported graph against torch on real texts: differences, decisions, metric lost, size and speed.

Trains a model for intent and slots (snips), question types (trec), sentiment (sst2) and similarity (stsb), or takes
one that was trained on tasks of these names; exports it in float32 and in int8, and answers texts of the test splits
with each. Times are of one thread, sorted by length in batches of 16, in turn.

    python benchmarks/onnx_export.py --encoder ENCODER --data DATA
    python benchmarks/onnx_export.py --model MODEL --data DATA
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
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


def train(options: argparse.Namespace, folder: str) -> MultiTaskModel:
    """Train a model on the training splits."""
    tasks, data = read(Path(options.data), "train", options.train_rows)
    set_seed(1)
    model = MultiTaskModel.from_encoder(options.encoder, tasks)
    arguments = MultiTaskTrainingArguments(
        folder,
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
    """Return the seconds of a call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    """Train or load, export, compare and print the table."""
    parser = parse(__doc__)
    parser.add_argument("--model", help="folder of a trained model with tasks of these names")
    parser.add_argument("--train-rows", type=int, default=3000, help="of each dataset")
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--texts", type=int, default=1000, help="texts that are compared and timed")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.quick:
        options.texts, options.rounds = 40, 1
    if options.model and not options.encoder:
        options.encoder = options.model
    with inputs(parser, options), tempfile.TemporaryDirectory() as folder:
        if not options.model:
            options.model = f"{folder}/torch"
            train(options, folder).save_pretrained(options.model)
        # Loaded anew: a model that was trained in this process still computes in the trainer's bfloat16.
        measure(options, MultiTaskModel.from_pretrained(options.model), Path(folder))


def measure(options: argparse.Namespace, model: MultiTaskModel, folder: Path) -> None:
    """Export, compare and print."""
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(options.encoder)
    for name, how in (("float32", None), ("int8", "int8")):
        export_onnx(model, tokenizer, folder / name, quantize=how, least_agreement=0.0)
    contestants: dict[str, Any] = {"torch float32": Torch(model, tokenizer)}
    for name in ("float32", "int8"):
        contestants[f"onnx {name}"] = OnnxPredictor(folder / name, threads=1)
    _, data = read(Path(options.data), "test", None)
    texts = [row for part in data.values() for row in part.select_columns(_columns(part)).select(_some(part, options))]
    logits = {name: one.logits(texts, batch_size=BATCH) for name, one in contestants.items()}
    runs = {
        name: (lambda one=one: clock(lambda: one.logits(texts, batch_size=BATCH))) for name, one in contestants.items()
    }
    times = in_turn(runs, options.rounds)
    scores = {name: _scores(model, contestants["torch float32"], one, data) for name, one in contestants.items()}
    rows, facts = [], {}
    files = Path(options.model) / "model.safetensors", folder / "float32/model.onnx", folder / "int8/model.onnx"
    for name, file in zip(contestants, files, strict=True):
        ratio = statistics.median(a / b for a, b in zip(times["torch float32"], times[name], strict=True))
        speed = len(texts) / statistics.median(times[name])
        size = os.path.getsize(file) / 1e6
        rows.append([name, f"{size:.1f}", f"{speed:.0f}", f"{ratio:.2f}"])
        facts[name] = {"megabytes": size, "texts_a_second": speed, "against_torch": ratio}
    head = ["", "MB", "texts a second", "times torch's speed"]
    report(f"Exported graphs, {len(texts)} texts of the test splits", head, rows, facts)
    rows, facts = [], {}
    for task in model.tasks:
        base = [row[task.name] for row in logits["torch float32"]]
        for name in ("onnx float32", "onnx int8"):
            mine = [row[task.name] for row in logits[name]]
            worst = max(float(np.abs(a - b).max()) for a, b in zip(base, mine, strict=True))
            lost = scores["torch float32"][task.name] - scores[name][task.name]
            cells = f"{worst:.2g}", _equal(task, base, mine), f"{scores[name][task.name]:.2f}", f"{lost:+.2f}"
            rows.append([f"{task.name}, {name}", *cells])
            facts[f"{task.name} {name}"] = {"difference": worst, "equal": cells[1], "points_lost": lost}
    head = ["task, graph", "largest difference of a logit", "equal decisions", "metric, points", "points lost"]
    report("Exported graphs, task by task", head, rows, facts)


def _columns(part: Dataset) -> list[str]:
    return [column for column in part.column_names if column in ("text", "text_pair", "tokens")]


def _some(part: Dataset, options: argparse.Namespace) -> range:
    return range(min(len(part), options.texts // len({folder for folder, *_ in TASKS.values()})))


def _equal(task: TaskConfig, base: Sequence[Any], mine: Sequence[Any]) -> str:
    if task.type == "regression":
        return "-"
    same = np.concatenate([np.atleast_1d(a.argmax(-1) == b.argmax(-1)) for a, b in zip(base, mine, strict=True)])
    return f"{same.sum():,} of {same.size:,}"


def _scores(model: MultiTaskModel, words_of: Torch, one: Any, data: dict[str, Dataset]) -> dict[str, float]:
    found = {}
    for folder, part in data.items():
        given = list(part.select_columns(_columns(part)))
        logits = one.logits(given, batch_size=BATCH)
        words = words_of.words(given)
        for task in (name for name in TASKS if TASKS[name][0] == folder):
            feature = getattr(part.features[task], "feature", part.features[task])
            names = getattr(feature, "names", None)
            labels = [_named(value, names) for value in part[task]]
            found[task] = score(model.task_heads[task], task, [row[task] for row in logits], words, labels)
    return found


def _named(value: Any, names: Sequence[str] | None) -> Any:
    if names is None:
        return value
    return [names[item] for item in value] if isinstance(value, list) else names[value]


if __name__ == "__main__":
    main()
