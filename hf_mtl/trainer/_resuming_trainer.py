"""What the trainer resumes from: whole checkpoints of the same training alone."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from hf_mtl.trainer._adapting import check_kind, loaded_adapters
from hf_mtl.trainer._checkpoint_files import clear
from hf_mtl.trainer._evaluation import EvaluatingTrainer
from hf_mtl.trainer._resuming import check_loaded, whole_checkpoint

__all__ = ["ResumingTrainer"]


class ResumingTrainer(EvaluatingTrainer):
    """Transformers' trainer that resumes from whole checkpoints alone, whoever wrote them.

    ``resume_from_checkpoint=True`` resumes from the newest whole one, and names those that it passes over.
    """

    #: Files of results that this trainer wrote.
    _own_results: frozenset[str] = frozenset()
    #: The step after which the weights were as they are now, where a training kept those of an earlier step.
    _kept_step: int | None = None

    @property
    def _output(self) -> Path:
        return Path(self.args.output_dir or "")

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train, from the start or from a checkpoint: see ``transformers.Trainer.train``.

        Args:
            resume_from_checkpoint: A checkpoint's folder, or ``True``: the newest whole one of the output folder.
            args: Passed on.
            kwargs: Passed on.

        Raises:
            ValueError: If the checkpoint named is cut, or none of those in the output folder is whole.
        """
        if self.args.local_process_index == 0:
            clear(self._output)
        self.accelerator.wait_for_everyone()
        checkpoint = whole_checkpoint(resume_from_checkpoint, self.args, self._warn)
        if checkpoint and os.path.isdir(checkpoint):
            self._match_training(Path(checkpoint))
        # What was measured and written of the model as it was says nothing of the one that it becomes.
        self._own_results, self._kept_step = frozenset(), None
        self._forget_scores()
        return super().train(checkpoint, *args, **kwargs)

    def check_resumable(self, checkpoint: Any = True) -> None:
        """Check that a checkpoint is whole and of this very training; nothing is changed on disk.

        Args:
            checkpoint: A checkpoint's folder, or ``True``: the newest whole one of the output folder.

        Raises:
            ValueError: If it is cut, or was trained on something else; the message names what.
        """
        found = whole_checkpoint(checkpoint, self.args, self._warn)
        if found and os.path.isdir(found):
            self._match_training(Path(found))

    def _match_training(self, checkpoint: Path) -> None:
        """Refuse a checkpoint of another training; called before anything of it is loaded."""

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        # Transformers' own method warns, and trains on with weights that were never loaded.
        check_loaded(self._plain_model, load_result)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        check_kind(self._plain_model, resume_from_checkpoint)
        if not loaded_adapters(self._plain_model, resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        self._kept_step = self.state.best_global_step
        if not loaded_adapters(self._plain_model, self.state.best_model_checkpoint):
            super()._load_best_model()

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        # Transformers looks whether training is over after a step, not before one: resumed from a checkpoint of the
        # last step it would train one step too many, where that step is not the end of an epoch.
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*args, **kwargs)

    def _warn(self, message: str) -> None:
        if self.is_world_process_zero():
            warnings.warn(message, stacklevel=4)
