"""Which names tasks may have."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from hf_mtl_light.errors import UserError

__all__ = ["INPUT_COLUMNS", "check_task_names"]

#: Columns of a dataset that hold its input.
INPUT_COLUMNS = ("text", "text_pair", "tokens", "choices")

# Names that mean something else to `forward`, to a batch or to the log.
_RESERVED = frozenset(
    {
        *INPUT_COLUMNS,
        *("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds"),
        *("labels", "rows", "tasks", "loss", "losses", "logits", "id", "score"),
    }
)


def check_task_names(names: Sequence[str]) -> None:
    """Check that names can be keys of one model: unique, not reserved, valid as module keys.

    Raises:
        ValueError: If a name is taken twice, is an input column, or cannot name a module.
    """
    for position, name in enumerate(names):
        if name in names[:position]:
            raise UserError(f"Task name {name!r} occurs twice. Give each task another name.")
        if name in _RESERVED:
            raise UserError(
                f"Task name {name!r} is reserved: it names an input or an output of the model. Choose another, "
                f"such as {name + '_task'!r}."
            )
        if "." in name or "/" in name or name != name.strip() or hasattr(nn.ModuleDict(), name):
            raise UserError(
                f"Task name {name!r} cannot name a module: no '.', no '/', no space at its ends, and no attribute "
                f"of torch.nn.ModuleDict. Choose another, such as {name.strip().replace('.', '_') + '_task'!r}."
            )
