"""The trainer's progress as a person wants it: a bar in a terminal, and one short line a log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PrinterCallback, ProgressCallback, Trainer

from hf_mtl.cli._terminal import is_terminal, write_line
from hf_mtl.trainer import SummaryCallback

__all__ = ["show_progress"]


class _Lines(ProgressCallback):
    """Transformers' progress bar, with short lines in place of dictionaries.

    Args:
        main_metrics: The metric of each task that a line shows.
        has_bar: Whether to draw the bar.
    """

    def __init__(self, main_metrics: Mapping[str, str], has_bar: bool) -> None:
        super().__init__()
        self._main_metrics = dict(main_metrics)
        self._has_bar = has_bar
        self._is_training = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._is_training = True
        if self._has_bar:
            super().on_train_begin(args, state, control, **kwargs)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._has_bar:
            super().on_step_end(args, state, control, **kwargs)

    def on_prediction_step(
        self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **kwargs: Any
    ) -> None:
        if self._has_bar:
            super().on_prediction_step(args, state, control, eval_dataloader, **kwargs)
            if self.prediction_bar is not None:
                self.prediction_bar.leave = False

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._is_training = False
        if self.training_bar is not None:
            super().on_train_end(args, state, control, **kwargs)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or not logs:
            return
        where = f"epoch {logs.get('epoch', 0):.2f}  step {state.global_step}/{state.max_steps}"
        if "loss" in logs:
            tasks = "  ".join(f"{k.partition('/')[2]} {v:.3f}" for k, v in logs.items() if k.startswith("loss/"))
            write_line(f"{where}  loss {logs['loss']:.3f}  ({tasks})  rate {logs['learning_rate']:.2e}")
        elif "eval_score" in logs and self._is_training:
            scores = (
                f"{task} {logs[f'eval_{task}_{metric}']:.3f}"
                for task, metric in self._main_metrics.items()
                if f"eval_{task}_{metric}" in logs
            )
            write_line(f"{where}  validation score {logs['eval_score']:.4f}  ({'  '.join(scores)})")


def show_progress(trainer: Trainer, main_metrics: Mapping[str, str], has_bar: bool = True) -> None:
    """Put short lines in place of the trainer's own callbacks.

    Args:
        trainer: The trainer.
        main_metrics: The metric of each task that a line shows.
        has_bar: Whether to draw a bar where a person watches.
    """
    for callback in (PrinterCallback, ProgressCallback, SummaryCallback):
        trainer.remove_callback(callback)
    trainer.add_callback(_Lines(main_metrics, has_bar and is_terminal()))
