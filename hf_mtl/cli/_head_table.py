"""The table of a model's heads: of a model, or of a saved one by its files, which needs no torch."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from hf_mtl.cli._plain_table import plain_table
from hf_mtl.configuration import A_NUMBER, ANSWER_PHRASES, TaskConfig, task_of_key
from hf_mtl_light.folders import finish_replacing

if TYPE_CHECKING:
    from hf_mtl.model import MultiTaskModel

__all__ = ["ModelSizes", "head_table", "labels_text"]

#: What layers keep beside their parameters.
_BUFFERS = (".running_mean", ".running_var", ".num_batches_tracked", ".position_ids")


@dataclass(frozen=True)
class ModelSizes:
    """What the table shows of a model.

    Args:
        tasks: Its tasks, in order.
        heads: For each task whose head is not tied the number of its parameters.
        frozen: What is frozen, as `MultiTaskModel.frozen` says.
        encoders: For each encoder its family, the number of its parameters and of its frozen layers.
        layers: The number of layers of the only one, where the model has branches.
        branches: For each branch the number of its layers and of its parameters.
    """

    tasks: Sequence[TaskConfig]
    heads: Mapping[str, int]
    frozen: Mapping[str, Any]
    encoders: Sequence[tuple[str, int, int]]
    layers: int | None
    branches: Mapping[str, tuple[int, int]]

    @classmethod
    def of_model(cls, model: MultiTaskModel) -> ModelSizes:
        """Return what a model is of."""
        from hf_mtl.configuration import by_encoder

        config, held = model.encoder.config, by_encoder("layers", model.frozen["layers"], model.encoders, 0)
        return cls(
            [head.task for head in model.task_heads.values()],
            {name: _count(head) for name, head in model.task_heads.items() if head.task.tied_to is None},
            model.frozen,
            [(each.config.model_type, _count(each), held[kind]) for kind, each in model.encoders.items()],
            config.num_hidden_layers if model.branches else None,
            {name: (top, _count(model.branches[name])) for name, top in (model.config.branches or {}).items()},
        )

    @classmethod
    def of_folder(cls, folder: Path) -> ModelSizes | None:
        """Return what a saved model is of, by its config and the head of its weights' file.

        ``None`` for any other folder, of which loading it says more: adapters, two encoders, weights that two names
        share, a file that is damaged.
        """
        from safetensors import SafetensorError, safe_open

        config_file, weights = folder / "config.json", folder / "model.safetensors"
        if not folder.is_dir():
            return None
        finish_replacing(folder)
        try:
            config = json.loads(config_file.read_text(encoding="utf-8"))
            if config["model_type"] != "multi-task" or config.get("image_encoder_config"):
                return None
            tasks = [TaskConfig.from_saved(values) for values in config["tasks"]]
            encoder, frozen, branches = (
                config["encoder_config"],
                config.get("frozen") or {},
                config.get("branches") or {},
            )
            held = frozen.get("layers", 0)
            # The last layer of a masked-lm task is the embedding, saved once.
            if not isinstance(held, int) or any(task.type == "masked-lm" for task in tasks):
                return None
            family, layers = encoder["model_type"], encoder.get("num_hidden_layers") if branches else None
            counts: Counter[tuple[str, str]] = Counter()
            with safe_open(weights, "numpy") as file:
                for name in file.keys():  # noqa: SIM118  # no mapping
                    if not name.endswith(_BUFFERS):
                        place, _, rest = name.partition(".")
                        of = "" if place == "encoder" else task_of_key(rest.partition(".")[0])
                        counts[place, of] += math.prod(file.get_slice(name).get_shape())
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError):
            return None
        is_whole = all(counts["heads", task.name] for task in tasks if task.tied_to is None) and counts["encoder", ""]
        if not is_whole or {place for place, _ in counts} - {"encoder", "heads", "branches"}:
            return None
        if branches and not (isinstance(layers, int) and all(counts["branches", name] for name in branches)):
            return None
        return cls(
            tasks,
            {task.name: counts["heads", task.name] for task in tasks if task.tied_to is None},
            {"encoder": False, "trunk": False, "layers": 0, "heads": [], **frozen},
            [(family, counts["encoder", ""], held)],
            layers,
            {name: (count, counts["branches", name]) for name, count in branches.items()},
        )


def _count(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def labels_text(task: TaskConfig) -> str:
    """Return the number of a task's labels and the first of them; without labels what it answers."""
    if not task.labels:
        return ANSWER_PHRASES.get(task.type, A_NUMBER)
    first = ", ".join(task.labels[:3])
    return f"{len(task.labels)}: {first}{', ...' if len(task.labels) > 3 else ''}"


def head_table(sizes: ModelSizes) -> Table:
    """Return a line for each head of a model: type, labels, parameters, and whether it is frozen.

    Args:
        sizes: What the model is of.
    """
    branches, frozen = sizes.branches, sizes.frozen
    columns = ["task", "type", "labels", *(["branch"] if branches else []), "parameters", "frozen"]
    table = plain_table(*columns, right=("parameters",))
    for task in sizes.tasks:
        count = f"{sizes.heads[task.name]:,}" if task.tied_to is None else f"those of {task.tied_to}"
        branch = [task.branch or ""] if branches else []
        held = "yes" if task.name in frozen["heads"] else ""
        table.add_row(*map(Text, (task.name, task.type, labels_text(task), *branch, count, held)))
    empty = [""] if branches else []
    for family, size, layers in sizes.encoders:
        held = "yes" if frozen["encoder"] or frozen["trunk"] else f"{layers} layers" if layers else ""
        table.add_row(*map(Text, ("(encoder)", family, "", *empty, f"{size:,}", held)))
    for name, (top, size) in branches.items():
        kind = f"top {top} of {sizes.layers} layers"
        table.add_row(*map(Text, ("(branch)", kind, "", name, f"{size:,}", "yes" if frozen["encoder"] else "")))
    return table
