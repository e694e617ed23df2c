# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-mtl"]
# ///
"""One model for eight tasks of GLUE, with the arguments of Transformers' run_glue.py: one command in place of eight.

    python examples/glue.py --model_name_or_path google-bert/bert-base-cased --task_names all \
        --do_train --do_eval --max_seq_length 128 --per_device_train_batch_size 32 \
        --learning_rate 2e-5 --num_train_epochs 3 --output_dir runs/glue

The data comes from the Hub (``nyu-mll/glue``), or from ``--data_dir FOLDER``, with ``FOLDER/<task>/train.jsonl`` and
``validation.jsonl`` (or .parquet, .csv) in the same columns. All arguments of Transformers' trainer can be given, and
``--sampling``, ``--balancing``, ``--batching`` and the others of `MultiTaskTrainingArguments`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import ClassLabel, DatasetDict, load_dataset
from sklearn.metrics import f1_score
from transformers import AutoTokenizer, HfArgumentParser, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig, predict

#: Task of GLUE -> its input columns, and its labels in the order of their numbers; None: a number.
TASKS: dict[str, tuple[tuple[str, ...], list[str] | None]] = {
    "cola": (("sentence",), ["unacceptable", "acceptable"]),
    "sst2": (("sentence",), ["negative", "positive"]),
    "mrpc": (("sentence1", "sentence2"), ["not_equivalent", "equivalent"]),
    "stsb": (("sentence1", "sentence2"), None),
    "qqp": (("question1", "question2"), ["not_duplicate", "duplicate"]),
    "mnli": (("premise", "hypothesis"), ["entailment", "neutral", "contradiction"]),
    "qnli": (("question", "sentence"), ["entailment", "not_entailment"]),
    "rte": (("sentence1", "sentence2"), ["entailment", "not_entailment"]),
}


def f1_of_positives(predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
    """Return the F1 of class 1, as GLUE reports it for MRPC and QQP."""
    return {"f1": float(f1_score(references, predictions, zero_division=0.0))}


#: The metrics that GLUE reports, where they are not those of the task's type; the first is the main one.
METRICS: dict[str, list[Any]] = {
    "cola": ["matthews_correlation"],
    "mrpc": ["accuracy", f1_of_positives],
    "qqp": ["accuracy", f1_of_positives],
}


@dataclass
class DataArguments:
    """Which data, and how much of it."""

    task_names: list[str] = field(
        default_factory=lambda: ["all"], metadata={"help": f"Tasks of GLUE, or all: {', '.join(TASKS)}."}
    )
    data_dir: str | None = field(default=None, metadata={"help": "A folder in place of the Hub: FOLDER/<task>."})
    max_seq_length: int = field(default=128, metadata={"help": "The most tokens of a row; longer ones are cut."})
    max_train_samples: int | None = field(default=None, metadata={"help": "The most training rows of a task."})
    max_eval_samples: int | None = field(default=None, metadata={"help": "The most validation rows of a task."})
    max_predict_samples: int = field(default=100, metadata={"help": "The most rows of a task for --do_predict."})


@dataclass
class ModelArguments:
    """Which encoder."""

    model_name_or_path: str = field(metadata={"help": "A Hub id or a folder of an encoder."})
    model_revision: str = field(default="main", metadata={"help": "A branch, a tag or a commit of it."})


def load(task: str, given: DataArguments) -> DatasetDict:
    """Return a task's rows: its input columns renamed, its label in a column named after the task."""
    if given.data_dir is None:
        splits = load_dataset("nyu-mll/glue", task)
    else:
        [train] = (Path(given.data_dir) / task).glob("train.*")
        files = {split: str(train.with_name(f"{split}{train.suffix}")) for split in ("train", "validation")}
        splits = load_dataset({".jsonl": "json"}.get(train.suffix, train.suffix[1:]), data_files=files)
    if task == "mnli" and given.data_dir is None:
        splits["validation"] = splits["validation_matched"]
    inputs, labels = TASKS[task]
    names = dict(zip((*inputs, "label"), (*("text", "text_pair")[: len(inputs)], task), strict=True))
    found = {}
    for split, most in (("train", given.max_train_samples), ("validation", given.max_eval_samples)):
        rows = splits[split].select_columns([*names]).rename_columns(names)
        if labels is not None:
            rows = rows.cast_column(task, ClassLabel(names=labels))
        found[split] = rows if most is None else rows.select(range(min(most, len(rows))))
    return DatasetDict(found)


def main() -> None:
    """Train, evaluate and predict as the arguments say."""
    parser = HfArgumentParser((ModelArguments, DataArguments, MultiTaskTrainingArguments))
    of_model, of_data, arguments = parser.parse_args_into_dataclasses()
    names = list(TASKS) if of_data.task_names == ["all"] else of_data.task_names
    if unknown := set(names) - set(TASKS):
        parser.error(f"--task_names: {', '.join(sorted(unknown))} is none of {', '.join(TASKS)}")
    set_seed(arguments.seed)
    data = {name: load(name, of_data) for name in names}
    tasks = [
        TaskConfig(name, "regression") if labels is None else TaskConfig(name, "sequence-classification", labels=labels)
        for name, (_, labels) in TASKS.items()
        if name in names
    ]
    tokenizer = AutoTokenizer.from_pretrained(of_model.model_name_or_path, revision=of_model.model_revision)
    max_length = min(of_data.max_seq_length, tokenizer.model_max_length)
    arguments = dataclasses.replace(arguments, max_length=max_length)
    if arguments.do_train:
        encoder = of_model.model_name_or_path
        model = MultiTaskModel.from_encoder(encoder, tasks, revision=of_model.model_revision)
    else:  # a model that was trained before
        model = MultiTaskModel.from_pretrained(of_model.model_name_or_path, revision=of_model.model_revision)
    trainer = MultiTaskTrainer(
        model,
        arguments,
        train_dataset={name: rows["train"] for name, rows in data.items()} if arguments.do_train else None,
        eval_dataset={name: rows["validation"] for name, rows in data.items()},
        processing_class=tokenizer,
        metrics={name: metrics for name, metrics in METRICS.items() if name in names},
    )
    if arguments.do_train:
        result = trainer.train(resume_from_checkpoint=arguments.resume_from_checkpoint)
        trainer.save_model()
        trainer.save_metrics("train", result.metrics)
        trainer.save_state()
    if arguments.do_eval:
        scores = trainer.evaluate()
        trainer.log_metrics("eval", scores)
        trainer.save_metrics("eval", scores)
    if arguments.do_predict:
        for name, rows in data.items():
            asked = rows["validation"].select_columns([c for c in rows["validation"].column_names if c != name])
            asked = asked.select(range(min(of_data.max_predict_samples, len(asked))))
            with open(Path(arguments.output_dir) / f"predict_{name}.jsonl", "w", encoding="utf-8") as file:
                for answer in predict(model, tokenizer, asked, tasks=[name], max_length=max_length):
                    file.write(json.dumps(answer[name]) + "\n")


if __name__ == "__main__":
    main()
