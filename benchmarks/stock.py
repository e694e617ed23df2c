"""The other side of the comparisons: an unmodified ``Trainer`` on one real task; nothing of hf_mtl takes part in it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import DatasetDict
from real_data import Task, label_names, load_folder
from scipy.special import expit
from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import f1_score as entity_f1
from sklearn.metrics import f1_score
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

__all__ = ["WARM_UP", "Clock", "StockRun", "curve"]

#: Steps of each training that are not timed.
WARM_UP = 3


class Clock(TrainerCallback):
    """Notes when each step ended, from the end of the last warm-up step on."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())

    def timed(self) -> tuple[int, float]:
        """Return the steps timed and their seconds."""
        ends = self.ends[WARM_UP - 1 :]
        return len(ends) - 1, ends[-1] - ends[0]


def curve(trainer: Trainer, key: str) -> list[tuple[float, float]]:
    """Return (part of the training, loss) from the log."""
    end = trainer.state.max_steps
    return [(round(log["step"] / end, 4), log[key]) for log in trainer.state.log_history if key in log]


def _two_rates(model: PreTrainedModel, rate: float, head_rate: float) -> torch.optim.Optimizer:
    """Return the optimizer that ``Trainer`` makes by itself, but for the rate of the new layers."""
    encoder = list(model.base_model.parameters())
    known = {id(parameter) for parameter in encoder}
    head = [parameter for parameter in model.parameters() if id(parameter) not in known]
    groups = [{"params": encoder, "lr": rate}, {"params": head, "lr": head_rate}]
    return torch.optim.AdamW(groups, weight_decay=0.0, fused=True)


class StockRun:
    """Fine-tunes an encoder on one task; the texts are tokenised beforehand, outside of the time.

    Args:
        task: The task.
        data: The folder of all data.
        encoder: The encoder.
        standardized: Whether the numbers of a regression are learned with mean 0 and standard deviation 1 over the
            training rows, as hf_mtl has them, and not as they are.
        max_length: The most tokens of a row.
        rows: The most rows of a split by its name.
    """

    def __init__(
        self,
        task: Task,
        data: Path,
        encoder: str,
        standardized: bool = False,
        max_length: int = 256,
        **rows: int,
    ) -> None:
        self.task = task
        self.max_length = max_length
        self.tagging = task.kind == "token-classification"
        self.multi_label = task.problem_type is not None
        self.encoder = encoder
        self.tokenizer = AutoTokenizer.from_pretrained(encoder)
        raw = load_folder(data / task.folder, **rows)
        self.labels = label_names(task, raw)
        # A column that is called "labels" already would keep its type.
        raw = raw.rename_column(task.target, "target")
        self.mean, self.std = 0.0, 1.0
        if standardized and task.kind == "regression":
            self.mean, self.std = float(np.mean(raw["train"]["target"])), float(np.std(raw["train"]["target"]))
        columns = raw["train"].column_names
        self.rows = len(raw["train"])
        self.encoded = DatasetDict(
            {split: part.map(self._encode, batched=True, remove_columns=columns) for split, part in raw.items()}
        )

    def _encode(self, batch: dict[str, list[Any]]) -> Any:
        """Tokenise a batch and align its labels as Transformers' own scripts do (first sub-word only)."""
        texts = (batch[column] for column in self.task.inputs)
        words = self.task.inputs == ("tokens",)
        encoded = self.tokenizer(*texts, is_split_into_words=words, truncation=True, max_length=self.max_length)
        ids = {label: i for i, label in enumerate(self.labels or ())}
        if self.multi_label:
            chosen = [{ids.get(label, label) for label in row} for row in batch["target"]]
            return {**encoded, "labels": [[float(i in row) for i in ids.values()] for row in chosen]}
        if self.task.kind == "regression":
            return {**encoded, "labels": [(label - self.mean) / self.std for label in batch["target"]]}
        if not self.tagging:
            return {**encoded, "labels": [ids.get(label, label) for label in batch["target"]]}
        aligned = []
        for row, tags in enumerate(batch["target"]):
            places = encoded.word_ids(row)
            before = [None, *places[:-1]]
            aligned.append(
                [
                    -100 if word is None or word == last else ids.get(tags[word], tags[word])
                    for word, last in zip(places, before, strict=True)
                ]
            )
        return {**encoded, "labels": aligned}

    def train(
        self, seed: int, arguments: dict[str, Any], head_rate: float | None = None, balanced: bool = False
    ) -> tuple[Trainer, Clock]:
        """Train from the encoder as it is; return the trainer and the times of its steps.

        Args:
            seed: The seed.
            arguments: Arguments of the trainer.
            head_rate: Learning rate of the layers that the checkpoint does not have; ``None``: that of the others.
            balanced: Whether each of several labels weighs, where it holds, rows without it by rows with it.
        """
        set_seed(seed)
        auto = AutoModelForTokenClassification if self.tagging else AutoModelForSequenceClassification
        model = auto.from_pretrained(
            self.encoder,
            num_labels=len(self.labels) if self.labels else 1,
            problem_type=self.task.problem_type,
        )
        collator = DataCollatorForTokenClassification if self.tagging else DataCollatorWithPadding
        clock = Clock()
        trainer = Trainer(
            model,
            TrainingArguments(**arguments, seed=seed),
            collator(self.tokenizer),
            self.encoded["train"],
            processing_class=self.tokenizer,
            compute_loss_func=self._balanced_loss() if balanced else None,
            optimizers=(None if head_rate is None else _two_rates(model, arguments["learning_rate"], head_rate), None),
            callbacks=[clock],
        )
        trainer.train()
        return trainer, clock

    def _balanced_loss(self) -> Any:
        flags = np.array(self.encoded["train"]["labels"])
        held = flags.sum(0)
        odds = np.where(held > 0, (len(flags) - held) / np.maximum(held, 1), 1.0).clip(0.01, 100)
        loss = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(odds, dtype=torch.float32))
        return lambda outputs, labels, num_items_in_batch=None: loss(outputs.logits.float(), labels)

    def test(self, trainer: Trainer) -> dict[str, float]:
        """Return the test metrics by the names that hf_mtl has for them, computed by other libraries."""
        output = trainer.predict(self.encoded["test"])
        guesses, gold = output.predictions, output.label_ids
        if self.task.kind == "regression":
            found = {"pearson": pearsonr(guesses[:, 0], gold)[0], "spearman": spearmanr(guesses[:, 0], gold)[0]}
        elif self.tagging:
            names = np.array(self.labels)
            pairs = [(p[g != -100], g[g != -100]) for p, g in zip(guesses.argmax(-1), gold, strict=True)]
            found = {"f1": entity_f1([names[g].tolist() for _, g in pairs], [names[p].tolist() for p, _ in pairs])}
        else:
            best = expit(guesses) >= 0.5 if self.multi_label else guesses.argmax(-1)
            found = {f"f1_{kind}": f1_score(gold, best, average=kind, zero_division=0) for kind in ("micro", "macro")}
            if not self.multi_label:
                found["accuracy"] = (best == gold).mean()
        return {name: float(value) for name, value in found.items()}
