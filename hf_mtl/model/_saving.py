"""How a model is published: saved with its code, pushed to the Hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import PreTrainedModel

from hf_mtl._names import listed
from hf_mtl.configuration import Modality
from hf_mtl.encoder import check_finite
from hf_mtl.model._adapter_folder import check_not_base, save_adapted
from hf_mtl.model._adapters import refuse_adapters
from hf_mtl.model._beside import is_multi_task, model_replaced
from hf_mtl_light.errors import MissingExtraError, UserError
from hf_mtl_light.folders import files_replaced

__all__ = ["ShareableModel"]


class ShareableModel(PreTrainedModel):
    """A model that can be saved with its code and pushed to the Hub."""

    encoder: PreTrainedModel
    # The whole model has them.
    has_adapters: Any
    encoders: Any

    def save_pretrained(self, save_directory: Any, *args: Any, self_contained: bool = False, **kwargs: Any) -> None:
        """Save the model: see ``transformers.PreTrainedModel.save_pretrained``.

        A folder that holds a model gets all of the new one's files at once: killed meanwhile, it holds the old model.
        Results and log of another model in the folder go with it, and its card is rewritten.

        Args:
            save_directory: The folder.
            args: Passed on.
            self_contained: Whether the modelling code is included, so that ``AutoModel.from_pretrained(...,
                trust_remote_code=True)`` loads the model where hf_mtl is not installed.
            kwargs: Passed on. ``push_to_hub=True`` pushes to ``repo_id``, or to the folder's name.

        Raises:
            ValueError: If ``self_contained`` and a head is not one of this package's, or a weight is infinite or not a
                number.
        """
        refuse_adapters(self)
        check_not_base(self, save_directory)
        if self.has_adapters and self_contained:
            refuse_adapters(self, "self_contained=True")
        # By the names that the parameters have. Transformers (5.23) would write some families' by former ones, which
        # `from_pretrained` knows, and its trainer, when it resumes or takes the best checkpoint, does not.
        kwargs.setdefault("save_original_format", False)
        is_pushed = kwargs.pop("push_to_hub", False)
        if is_pushed:
            pushed = {name: kwargs.pop(name) for name in _PUSHED if name in kwargs}
        if kwargs.get("is_main_process", args[0] if args else True):
            state_dict = kwargs.get("state_dict", args[1] if len(args) > 1 else None)
            weights = self.state_dict() if state_dict is None else state_dict
            check_finite(weights.items(), f"The model cannot be saved in {str(save_directory)!r}")
            with model_replaced(Path(save_directory), self) as new:
                self._save_with_code(new, self_contained, *args, **kwargs)
        else:  # one of several processes, of which the first writes
            self._save_with_code(save_directory, self_contained, *args, **kwargs)
        if is_pushed:
            repo_id = pushed.pop("repo_id", Path(save_directory).absolute().name)
            self.push_to_hub(repo_id, self_contained=self_contained, **pushed)

    def _save_with_code(self, folder: Any, self_contained: bool, *args: Any, **kwargs: Any) -> None:
        if self.has_adapters:
            if kwargs.get("is_main_process", args[0] if args else True):
                save_adapted(self, folder, kwargs.get("state_dict", args[1] if len(args) > 1 else None))
            return
        if self.is_remote_code():
            super().save_pretrained(folder, *args, **kwargs)  # Transformers copies the code
            return
        auto_map = self.config.__dict__.pop("auto_map", None)
        if self_contained:
            self.config.auto_map = _code_map(self)
        try:
            super().save_pretrained(folder, *args, **kwargs)
        finally:
            self.config.__dict__.pop("auto_map", None)
            if auto_map is not None:
                self.config.auto_map = auto_map
        if self_contained:
            _write_code(folder)

    def save_encoder(self, folder: str | Path, modality: Modality | None = None) -> None:
        """Write a plain encoder, which ``AutoModel.from_pretrained`` loads without hf_mtl.

        A pooler that the encoder had is not part of it: each sequence head has its own.

        Args:
            folder: Where to write.
            modality: Which, ``"text"`` or ``"image"``; ``None``: the only one.

        Raises:
            ValueError: If the model has adapters, lacks the encoder, has two and none is named, the folder holds a
                multi-task model, or a weight is infinite or not a number.
        """
        refuse_adapters(self, "save_encoder")
        encoders: Mapping[Modality, PreTrainedModel] = self.encoders
        if modality is None and len(encoders) == 1:
            [modality] = encoders
        if modality is None or modality not in encoders:
            raise UserError(
                f"save_encoder(folder, {modality!r}): the model has encoders of {listed(encoders)}. Name one of them: "
                f"save_encoder(folder, {next(iter(encoders))!r})."
            )
        if is_multi_task(Path(folder)):
            raise UserError(
                f"{str(folder)!r} holds a multi-task model, which an encoder would replace. Name another folder."
            )
        check_finite(encoders[modality].state_dict().items(), f"The encoder cannot be saved in {str(folder)!r}")
        with files_replaced(Path(folder)) as new:
            encoders[modality].save_pretrained(new)

    def push_to_hub(  # type: ignore[override]  # Transformers' own, and what it cannot know
        self,
        repo_id: str,
        *,
        tokenizer: Any = None,
        self_contained: bool = False,
        commit_message: str | None = None,
        commit_description: str | None = None,
        private: bool | None = None,
        token: bool | str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        max_shard_size: int | str = "50GB",
        tags: list[str] | None = None,
    ) -> Any:
        """Upload the model with its tokenizer and card, in one commit.

        Of a model that was loaded from a folder, the card, the training arguments and the results of that folder are
        included. Names of files and folders of this machine do not.

        Args:
            repo_id: ``user/name``, or ``name`` in one's own namespace; made if there is none.
            tokenizer: The tokenizer; ``None`` takes the one of the folder or repository that the model, or its
                encoder, was loaded from.
            self_contained: Whether the modelling code is included: see `save_pretrained`.
            commit_message: The commit's first line.
            commit_description: The commit's further text.
            private: Whether a new repository is private; ``None``: as the account has it.
            token: The token; ``None`` is the one that ``hf auth login`` stored.
            revision: A branch, made if there is none; ``None`` is the main one.
            create_pr: Whether to open a pull request instead.
            max_shard_size: The most bytes of a file of weights.
            tags: Tags for the card.

        Returns:
            The commit, as ``huggingface_hub`` reports it.

        Raises:
            OSError: If the Hub refuses, or the connection stays broken.
            ValueError: If ``self_contained`` and a head is not one of this package's.
        """
        push = _pusher()
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, self_contained=self_contained, max_shard_size=max_shard_size)
            return push(
                self,
                Path(folder),
                repo_id,
                tokenizer=tokenizer,
                private=private,
                token=token,
                tags=tags,
                revision=revision,
                message=commit_message or "Upload model",
                description=commit_description,
                create_pr=create_pr,
            )


#: Arguments of `ShareableModel.push_to_hub` that `save_pretrained` takes, too.
_PUSHED = (
    *("repo_id", "tokenizer", "commit_message", "commit_description", "private", "token", "revision"),
    *("create_pr", "tags"),
)
_NEEDS_PACKAGE = "This needs the package itself: pip install hf-mtl. Its code in a model's repository only runs models."


# Imports within `try` are not part of the code that a self-contained model takes along: see `hf_mtl.hub`.


def _code_map(model: Any) -> dict[str, str]:
    try:
        from hf_mtl.hub import AUTO_MAP
    except ImportError:
        raise MissingExtraError(_NEEDS_PACKAGE) from None
    for name, head in model.task_heads.items():
        if not type(head).__module__.startswith("hf_mtl."):
            raise UserError(
                f"Task {name!r}: its head {type(head).__name__} is not part of hf_mtl, so its code cannot be included. "
                "Save without self_contained, and have users pass heads={...} to from_pretrained."
            )
    return dict(AUTO_MAP)


def _write_code(folder: Any) -> None:
    try:
        from hf_mtl.hub import write_code
    except ImportError:
        raise MissingExtraError(_NEEDS_PACKAGE) from None
    write_code(folder)


def _pusher() -> Any:
    try:
        from hf_mtl.hub import push_model
    except ImportError:
        raise MissingExtraError(_NEEDS_PACKAGE) from None
    return push_model
