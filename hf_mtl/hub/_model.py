"""Models to the Hub: one in memory, with what lies beside where it came from, or one in a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import CommitInfo, hf_hub_download
from transformers import AutoTokenizer
from transformers.utils import logging

from hf_mtl.configuration import MultiTaskConfig, TaskConfig
from hf_mtl.heads import head_class
from hf_mtl.hub._clean import clean_copy, leads_out
from hf_mtl.hub._code import AUTO_MAP, CODE_PREFIX, write_code
from hf_mtl.hub._deployments import write_endpoint
from hf_mtl.hub._upload import create_repo, push_folder
from hf_mtl.model_card import CardFacts, add_tags, address_card, write_card
from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import write_text_whole

__all__ = ["add_code", "push_model", "push_saved"]

logger = logging.get_logger(__name__)

_LEFT_BESIDE = ("README.md", "training_args.json", "*_results.json", "LICENSE*", "NOTICE*")


def push_model(
    model: Any,
    folder: Path,
    repo_id: str,
    *,
    tokenizer: Any = None,
    private: bool | None = None,
    token: bool | str | None = None,
    tags: Sequence[str] | None = None,
    revision: str | None = None,
    **kwargs: Any,
) -> CommitInfo:
    """Push a model that was saved to a separate folder.

    Args:
        model: The model.
        folder: Where it was saved; tokenizer and card are added.
        repo_id: ``user/name``, or ``name``.
        tokenizer: The tokenizer; ``None``: see `hf_mtl.MultiTaskModel.push_to_hub`.
        private: Whether a new repository is private.
        token: The token.
        tags: Tags for the card.
        revision: The branch.
        kwargs: Further arguments of `push_folder`.
    """
    repo_id = create_repo(repo_id, private=private, token=token)
    tokenizer = tokenizer if tokenizer is not None else _tokenizer_of(model)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    if not _bring_along(model.config.name_or_path, folder):
        _fetch(repo_id, folder, revision=revision, token=token)
        write_card(folder / "README.md", CardFacts.of_model(model, name=repo_id.split("/")[-1]))
    add_tags(folder / "README.md", tags or ())
    address_card(folder / "README.md", repo_id, self_contained=any(folder.glob(f"{CODE_PREFIX}*.py")))
    with TemporaryDirectory() as clean:
        clean_copy(folder, clean)
        return push_folder(clean, repo_id, token=token, revision=revision, **kwargs)


def push_saved(
    folder: Path,
    repo_id: str,
    *,
    private: bool | None = None,
    self_contained: bool = False,
    endpoint: bool = False,
    **kwargs: Any,
) -> CommitInfo:
    """Push a model that lies in a folder, without loading it.

    Args:
        folder: The folder.
        repo_id: ``user/name``, or ``name``.
        private: Whether a new repository is private.
        self_contained: Whether the modelling code is included.
        endpoint: Whether what Inference Endpoints run is included: see `write_endpoint`.
        kwargs: Further arguments of `push_folder`.

    Raises:
        ValueError: If the folder holds no multi-task model, or ``self_contained`` and one of its heads is not part of
            this package.
        OSError: If the Hub refuses, or the connection stays broken.
    """
    with TemporaryDirectory() as clean:
        clean_copy(folder, clean)
        values = json.loads((Path(clean) / "config.json").read_text(encoding="utf-8"))
        if values.get("model_type") != MultiTaskConfig.model_type:
            found = values.get("model_type")
            raise UserError(f"{str(folder)!r} holds a plain {found!r} model, not a multi-task one.")
        if self_contained:
            add_code(Path(clean))
        if endpoint:
            write_endpoint(Path(clean))
        token = kwargs.get("token")
        repo_id = create_repo(repo_id, private=private, token=token)
        has_code = any(Path(clean).glob(f"{CODE_PREFIX}*.py"))
        address_card(Path(clean) / "README.md", repo_id, self_contained=has_code)
        return push_folder(clean, repo_id, **kwargs)


def add_code(folder: Path) -> None:
    """Write the modelling code into a model's folder, and into its config where it is.

    Raises:
        ValueError: If one of its heads is not part of this package.
    """
    if (folder / "adapter_config.json").is_file():
        raise UserError(
            "self_contained is for whole models: of a repository with an adapter, AutoModel loads the encoder alone. "
            "Leave it out, or merge the adapter: model.merge_and_unload()."
        )
    config = folder / "config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    for task in values.get("tasks", ()):
        head_class(TaskConfig.from_saved(task))  # refuses custom types: their code is elsewhere
    write_code(folder)
    text = json.dumps({**values, "auto_map": AUTO_MAP}, indent=2, sort_keys=True, ensure_ascii=False)
    write_text_whole(config, f"{text}\n")


def _tokenizer_of(model: Any) -> Any:
    """Return the tokenizer that lies where the model, or its encoder, was loaded from."""
    for name in (model.config.name_or_path, model.encoder.config.name_or_path):
        if not name:
            continue
        try:
            tokenizer = AutoTokenizer.from_pretrained(name)
        except (OSError, ValueError):
            continue
        size = model.get_input_embeddings().weight.shape[0]
        # Without files Transformers makes a tokenizer with an empty vocabulary.
        if len(tokenizer.all_special_tokens) < len(tokenizer) <= size:
            return tokenizer
    logger.warning("The model goes without a tokenizer: none was found. Pass tokenizer= to send one along.")
    return None


def _bring_along(origin: str | None, folder: Path) -> bool:
    """Copy what lies beside the model that was loaded; return whether it has a card."""
    if not origin:
        return False
    if not Path(origin).is_dir():
        return _fetch(origin, folder)
    for pattern in _LEFT_BESIDE:
        for path in Path(origin).glob(pattern):
            if not leads_out(path, Path(origin)):
                shutil.copyfile(path, folder / path.name)
    return (folder / "README.md").is_file()


def _fetch(repo_id: str, folder: Path, **kwargs: Any) -> bool:
    """Bring a repository's card, which its owners may have edited there; return whether it has one."""
    try:
        path = hf_hub_download(repo_id, "README.md", **kwargs)
    except (OSError, ValueError):  # none, or out of reach, or no repository's name
        return False
    shutil.copyfile(path, folder / "README.md")
    return True
