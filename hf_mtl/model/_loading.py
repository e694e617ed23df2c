"""Loading saved models, whose files a stranger may have written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from hf_mtl._names import listed
from hf_mtl.configuration import MultiTaskConfig, checked_weights
from hf_mtl.encoder import check_finite
from hf_mtl.model._adapter_folder import adapter_config_of, load_adapted
from hf_mtl.model._freezing import apply_frozen
from hf_mtl_light.errors import UserError
from hf_mtl_light.folders import finish_replacing

__all__ = ["LoadableModel", "refuse_fields_of_one_task"]

#: How a model is found, of the arguments of `LoadableModel.from_pretrained`.
_FINDING = ("revision", "subfolder", "token", "cache_dir", "force_download", "local_files_only", "proxies")


#: Arguments that say nothing of a model with adapters.
_WITHOUT_EFFECT = ("pretrained_model_name_or_path", "use_safetensors", "ignore_mismatched_sizes", "adapter_kwargs")


class LoadableModel(PreTrainedModel):
    """A model that checks what it loads."""

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load a saved model: see ``transformers.PreTrainedModel.from_pretrained``.

        Weights are read from safetensors alone, which hold numbers and no code; a config that describes a far larger
        model than they hold is refused before memory is taken for it. A model whose files lack weights is refused:
        new heads are put on by `hf_mtl.surgery.add_head`. With ``output_loading_info=True``, which returns the names
        of what was missing, or with a ``state_dict``, it is initialised instead.

        Raises:
            OSError: If there is no such model, or it has no weights in safetensors.
            ValueError: If its config is wrong, weights of it are missing, infinite or not a number, or the files hold
                weights of the encoder or of a head that the config does not describe.
        """
        name = args[0] if args else kwargs.get("pretrained_model_name_or_path")
        refuse_fields_of_one_task(kwargs)
        if (
            name is not None
            and finish_replacing(Path(str(name)))
            and isinstance(kwargs.get("config"), PreTrainedConfig)
        ):
            raise UserError(f"{str(name)!r}: a replacement that was stopped is finished now. Load the config again.")
        model: Any
        finding = {key: kwargs[key] for key in _FINDING if key in kwargs}
        adapter = None if name is None else adapter_config_of(str(name), finding)
        if adapter is not None and kwargs.get("state_dict") is None:
            rest = {key: value for key, value in kwargs.items() if key not in _FINDING}
            with_info = rest.pop("output_loading_info", False)
            for key in _WITHOUT_EFFECT:
                rest.pop(key, None)
            model = load_adapted(cls, str(name), adapter, finding, **rest)
            info: dict[str, Any] = {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set()}
            return (model, {**info, "error_msgs": []}) if with_info else model
        if name is None or kwargs.get("state_dict") is not None:
            model = super().from_pretrained(*args, **kwargs)
        else:
            if kwargs.get("use_safetensors") is False:
                raise UserError("use_safetensors=False would read a pickle, which can run any code. Leave it out.")
            if not isinstance(kwargs.get("config"), PreTrainedConfig):
                # Before the weights, which may be large: a wrong config is found first.
                try:
                    MultiTaskConfig.from_pretrained(kwargs.get("config") or name, **finding)
                except (TypeError, AttributeError, RecursionError) as error:  # it is not even a mapping
                    raise UserError(f"{str(name)!r}: config.json holds no mapping of fields: {error}") from error
            with checked_weights(str(name), kwargs), _wrong_files_named(str(name)):
                # Transformers' own error points at a table in the log; the one below names the weights.
                seen = {"output_loading_info": True, "ignore_mismatched_sizes": True}
                model = super().from_pretrained(*args, **{**kwargs, "use_safetensors": True, **seen})
            if not (kwargs.get("ignore_mismatched_sizes") and kwargs.get("output_loading_info")):
                _check_sizes(model[1], str(name))
            if not kwargs.get("output_loading_info"):
                model, info = model
                _check_whole(model, info, str(name))
        loaded: Any = model[0] if isinstance(model, tuple) else model
        for parameter in loaded.parameters():
            # Weights mapped from a file start anywhere; some matrix kernels then round differently from those on
            # memory that torch allocated. Moved, a loaded model answers bit for bit as the one that was saved.
            if parameter.device.type == "cpu" and parameter.data_ptr() % 64:
                parameter.data = parameter.data.clone()
        if loaded.config.frozen:
            apply_frozen(loaded)  # loading makes new parameters
        return model


def _check_sizes(info: Mapping[str, Any], name: str) -> None:
    """Check that no weight has another shape in the files than by the config.

    Raises:
        ValueError: Naming some that have.
    """
    found = [
        f"{key!r} is {list(saved)} there and {list(wanted)} by config.json"
        for key, saved, wanted in sorted(info["mismatched_keys"])
    ]
    if found:
        raise UserError(
            f"{name!r}: the weights in its files do not fit the tasks and encoder_config of config.json: "
            f"{'; '.join(found[:2])}{f' ({len(found)} in all)' if len(found) > 2 else ''}. Get both from one model."
        )


def _check_whole(model: Any, info: Mapping[str, Collection[str]], name: str) -> None:
    """Check that a model is what its files hold.

    Args:
        model: The model, loaded.
        info: Names of weights: ``missing_keys`` and ``unexpected_keys``.
        name: Its folder, or its repository.

    Raises:
        ValueError: Naming weights that are missing, that the config does not describe, or that are not finite.
    """
    if missing := sorted(info["missing_keys"]):
        raise UserError(
            f"{name!r}: its files lack weights that its config describes: {listed(missing, 3)}. Get the whole model "
            "again. To put new heads on a model, load it as it was saved and use hf_mtl.surgery.add_head."
        )
    # Heads that the config leaves out are not loaded, which changes no answer; other layers of what is there would.
    held = ("encoder.", "image_encoder.", *(f"heads.{key}." for key in dict(model.heads.named_children())))
    if unexpected := sorted(key for key in info["unexpected_keys"] if key.startswith(held)):
        raise UserError(
            f"{name!r}: its files hold weights that its config does not describe: {listed(unexpected, 3)}. Config and "
            "weights come from different models: get both again from one."
        )
    check_finite(model.state_dict().items(), f"{name!r}")


#: Fields of a config of Transformers that say what one task is, and would be without effect on several.
_OF_ONE_TASK = ("num_labels", "id2label", "label2id", "problem_type", "is_encoder_decoder", "chunk_size_feed_forward")


def refuse_fields_of_one_task(given: Mapping[str, Any]) -> None:
    """Refuse fields of the config that would be without effect.

    Args:
        given: Keyword arguments of a loading method.

    Raises:
        UserError: If one is among them.
    """
    for name in _OF_ONE_TASK:
        if name in given:
            raise UserError(
                f"{name}={given[name]!r} would be without effect: labels and types belong to tasks. Set them by "
                "TaskConfig(name, type, labels=...) when the model is made, or change them by hf_mtl.surgery."
            )


@contextmanager
def _wrong_files_named(name: str) -> Iterator[None]:
    """Turn what wrong files lead to somewhere in Transformers and torch into one kind of error.

    Raises:
        ValueError: With the reason.
    """
    try:
        yield
    except (ValueError, OSError, ImportError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if torch.get_default_device().type == "meta":
            raise  # Transformers' own words: nothing is wrong with the files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{name!r}: the tasks and encoder_config of config.json do not go with the weights: {reason}"
        ) from error
