"""A trained model from a folder or the Hub, or one line that says why not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hf_mtl.recipe import one_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from hf_mtl.modeling import MultiTaskModel

__all__ = ["load_model"]


def load_model(name: str) -> tuple[MultiTaskModel, PreTrainedTokenizerBase]:
    """Load a multi-task model and its tokenizer.

    Raises:
        ValueError: If there is none, or it is a model of another kind.
    """
    from transformers import AutoConfig, AutoTokenizer

    from hf_mtl.configuration import MultiTaskConfig
    from hf_mtl.modeling import MultiTaskModel

    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise ValueError(f"model {name!r}: the folder has no config.json, so it holds no model.")
        name = str(folder)
    elif folder.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ValueError(f"model {name!r}: no such folder.")
    try:
        config = AutoConfig.from_pretrained(name)
        if not isinstance(config, MultiTaskConfig):
            raise ValueError(
                f"it is a plain {config.model_type!r} model, not a multi-task one. Train one with hf-mtl train."
            )
        return MultiTaskModel.from_pretrained(name), AutoTokenizer.from_pretrained(name)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"model {name!r}: {one_line(error)}") from error
