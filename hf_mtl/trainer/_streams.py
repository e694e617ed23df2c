"""Training on streams: how many rows they count for, and where a resumed training reads on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_mtl.data import DatasetMixture, LabelledDataset
from hf_mtl.trainer._step_loss import STREAM_STATES
from hf_mtl.trainer._whole import STREAMS
from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import write_text_whole

__all__ = ["StreamPlaces", "rows_drawn", "size_streams"]


def rows_drawn(args: Any) -> int:
    """Return how many rows a training of ``max_steps`` steps draws in all."""
    return int(args.max_steps * args.train_batch_size * args.world_size * args.gradient_accumulation_steps)


def size_streams(datasets: Mapping[str, LabelledDataset], args: Any, rules: Any = None) -> None:
    """Let each stream count for as many rows as the training draws in all: none can be used up before its end.

    Args:
        datasets: The training datasets.
        args: The training arguments.
        rules: The sampling's rules.

    Raises:
        ValueError: If the training has no number of steps, or a stream is to be cut.
    """
    for name, dataset in datasets.items():
        if dataset.stream is None:
            continue
        if args.max_steps <= 0:
            raise UserError(
                f"Dataset {name!r} is a stream, whose rows are not counted, so num_train_epochs says nothing. Set "
                "max_steps=N, the optimizer steps of the training."
            )
        if rules is not None and name in rules.max_rows:
            raise UserError(
                f"max_rows[{name!r}] chooses rows at random, which a stream cannot. Pass stream.take(N) as the dataset."
            )
        for method in ("distillation", "mixup"):
            if method in (args.methods or {}):
                raise UserError(
                    f"methods: {method} asks for rows by their number, which the stream {name!r} cannot give. Leave "
                    "one of them out."
                )
        dataset.stream_rows = rows_drawn(args)


class StreamPlaces:
    """Where the streams of a training are read from again when it is resumed.

    A stream is read ahead of the training, by workers at that, so the places come with the batches.
    """

    def __init__(self) -> None:
        self._states: dict[str, Any] = {}
        self._mixture: DatasetMixture | None = None

    def begin(self, mixture: DatasetMixture) -> None:
        """Begin a training at the beginning of its streams."""
        self._states, self._mixture = {}, mixture

    def take(self, batches: Sequence[dict[str, Any]]) -> None:
        """Note the places of a step that is trained on now."""
        for batch in batches:
            self._states.update(batch.pop(STREAM_STATES, None) or {})

    def save(self, folder: Path) -> None:
        """Write the places into a checkpoint, if there are streams."""
        if self._states:
            write_text_whole(folder / STREAMS, json.dumps(self._states))

    def load(self, folder: Path) -> None:
        """Let the streams begin where a checkpoint was; without its file they are read from the start."""
        if self._mixture is not None and (folder / STREAMS).is_file():
            self._states = json.loads((folder / STREAMS).read_text(encoding="utf-8"))
            self._mixture.stream_states = dict(self._states)
