"""Uploads of a model: clean copies, each in one commit."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo
from transformers import TrainerState
from transformers.trainer_utils import HubStrategy, SaveStrategy
from transformers.utils import logging

from hf_mtl.hub import add_code, clean_copy, create_repo, push_folder
from hf_mtl.model_card import address_card
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments

__all__ = ["make_repo", "progress_message", "report_failed", "staged", "staged_checkpoint", "upload"]

logger = logging.get_logger(__name__)

#: Within the output folder: what is being uploaded. Checkpoints come and go meanwhile.
_PUSHED = "_pushed"


def make_repo(args: MultiTaskTrainingArguments, token: str | None, private: bool | None) -> str:
    """Make the repository of a training, and return its id.

    Args:
        args: The training arguments.
        token: The token; ``None``: that of the arguments.
        private: Whether it is private; ``None``: as the arguments say.
    """
    name = args.hub_model_id or Path(args.output_dir or "").absolute().name
    private = private if private is not None else args.hub_private_repo
    return create_repo(name, private=private, token=token if token is not None else args.hub_token)


def progress_message(args: MultiTaskTrainingArguments, state: TrainerState) -> str:
    """Return the message of a commit while training runs."""
    by_steps = args.save_strategy == SaveStrategy.STEPS
    return f"Training in progress, {f'step {state.global_step}' if by_steps else f'epoch {int(state.epoch or 0)}'}"


def staged(folder: Path, output: Path, model_id: str, *, self_contained: bool = False) -> Path:
    """Return a clean copy of a model's folder, with the names that it will be loaded by.

    Args:
        folder: The model's folder.
        output: The output folder, in which the copy is made.
        model_id: The model's id on the Hub.
        self_contained: Whether the modelling code is included.
    """
    (output / _PUSHED).mkdir(parents=True, exist_ok=True)
    copy = Path(tempfile.mkdtemp(dir=output / _PUSHED))
    clean_copy(folder, copy)
    if self_contained:
        add_code(copy)
    address_card(copy / "README.md", model_id, self_contained=self_contained)
    return copy


def staged_checkpoint(checkpoint: Path, args: MultiTaskTrainingArguments, model_id: str) -> Path:
    """Return a clean copy of a checkpoint's model, with the newest card, and what the strategy of pushes adds.

    Args:
        checkpoint: The checkpoint's folder.
        args: The training arguments.
        model_id: The model's id on the Hub.
    """
    # Linked into a separate folder: the checkpoint may be deleted while it is uploaded, and the output folder
    # keeps the model that was saved there.
    copy = staged(checkpoint, Path(args.output_dir or ""), model_id)
    card = Path(args.output_dir or "") / "README.md"
    if card.is_file():
        shutil.copyfile(card, copy / card.name)
        address_card(copy / card.name, model_id)
    if args.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
        name = "last-checkpoint" if args.hub_strategy == HubStrategy.CHECKPOINT else checkpoint.name
        clean_copy(checkpoint, copy / name, with_training_state=True)
    return copy


def upload(
    folder: Path,
    model_id: str,
    args: MultiTaskTrainingArguments,
    message: str | None,
    token: str | None = None,
    revision: str | None = None,
) -> CommitInfo:
    """Upload a copy in one commit, and remove it.

    Args:
        folder: The copy.
        model_id: The model's id on the Hub.
        args: The training arguments, with branch and token.
        message: The commit's first line.
        token: The token, in place of the arguments'.
        revision: The branch, in place of the arguments'.

    Raises:
        OSError: If the Hub refuses, or the connection stays broken.
    """
    try:
        return push_folder(
            folder,
            model_id,
            revision=revision if revision is not None else args.hub_revision,
            token=token if token is not None else args.hub_token,
            message=message or "Upload model",
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def report_failed(progress: Any) -> None:
    """Say which uploads in the background failed; the training continues without them.

    Args:
        progress: Transformers' ``PushInProgress``, whose jobs that are done are forgotten; or ``None``.
    """
    for job in progress.jobs if progress is not None else ():
        error = job.exception() if job.done() and not job.cancelled() else None
        if error is not None:
            logger.warning(f"A push during the training failed: {error}")
    if progress is not None:
        progress.jobs = [job for job in progress.jobs if not job.done()]
