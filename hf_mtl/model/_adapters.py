"""Adapters of PEFT, LoRA for one, in the encoder and its branches: put on, saved with the heads, and merged."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import MultiTaskConfig
from hf_mtl.model._adapter_base import base_of, check_base
from hf_mtl.model._adapters_by_name import branches_for, is_by_name, joined
from hf_mtl.model._freezing import apply_frozen
from hf_mtl_light.errors import MissingExtraError, UserError, UserTypeError

__all__ = [
    "ADAPTER_TYPES",
    "SET_HERE",
    "AdaptedModel",
    "base_parameters",
    "config_class",
    "inject",
    "make_adapter_config",
    "refuse_adapters",
]

#: Kinds of PEFT that are supported: what they add lies in each layer by itself, and merges into its weights.
ADAPTER_TYPES = ("LORA", "IA3", "LOHA", "LOKR")
#: The name that PEFT gives to the one adapter of a model.
_NAME = "default"
#: Heads are never adapted: they are trained whole.
_HEADS = r"heads\..*"
#: Fields of PEFT's configs that are set here, or would be without effect.
SET_HERE = (
    *("peft_type", "task_type", "auto_mapping", "base_model_name_or_path", "revision", "inference_mode"),
    *("modules_to_save", "trainable_token_indices", "peft_version"),
)
#: Initialisations of LoRA that leave the encoder's own weights as they are.
_INITIALISATIONS = (True, False, "gaussian", "orthogonal")


def make_adapter_config(given: Any) -> Any:
    """Return PEFT's config of what ``peft`` in a recipe, or ``peft_config`` of the trainer, says.

    Args:
        given: A ``peft.PeftConfig``; or a mapping with ``type``, one of `ADAPTER_TYPES` (LORA if it is left out), and
            the fields of its config. Without ``target_modules`` all linear layers are adapted. ``None``: no adapters.
            Or a mapping from names of branches and tasks to these: see `AdaptedModel.add_adapter`.

    Returns:
        The config, a new object; by name, if it was given so; or ``None``.

    Raises:
        ValueError: If the type or a field is unknown, or would lose something.
        TypeError: If it is neither.
    """
    if given is None or (isinstance(given, Mapping) and not given):
        return None
    if is_by_name(given):
        return {str(name): _named_config(name, own) for name, own in given.items()}
    peft = _peft()
    if isinstance(given, peft.PeftConfig):
        kind = str(getattr(given.peft_type, "value", given.peft_type))
        values = {f.name: getattr(given, f.name) for f in dataclasses.fields(given) if f.init}
        _check_type(kind)
        for name in ("modules_to_save", "trainable_token_indices"):
            if values.get(name):
                raise UserError(
                    f"peft: {name}={values[name]!r} is not supported: heads are trained and saved whole without it, "
                    "and nothing else of the model is. Leave it out."
                )
    elif isinstance(given, Mapping):
        values = {str(name): value for name, value in given.items()}
        kind = str(values.pop("type", "LORA")).upper()
        _check_type(kind)
        known = {f.name for f in dataclasses.fields(config_class(kind)) if f.init} - {*SET_HERE}
        for name in values:
            if name not in known:
                raise UserError(
                    f"peft: {kind} has no option {name!r}.{nearest(name, known)} Options: {listed(sorted(known))}."
                )
    else:
        raise UserTypeError(f"peft_config must be a peft.PeftConfig or a mapping, found {type(given).__name__}.")
    values = {name: value for name, value in values.items() if name not in SET_HERE}
    if values.get("init_lora_weights", True) not in _INITIALISATIONS:
        raise UserError(
            f"peft: init_lora_weights={values['init_lora_weights']!r} changes the encoder's own weights, which are not "
            f"saved with an adapter. Choose one of {listed(map(str, _INITIALISATIONS))}."
        )
    if values.get("target_modules") is None and values.get("target_parameters") is None:
        values["target_modules"] = "all-linear"
        if kind == "IA3":
            values.setdefault("feedforward_modules", [])
    values["exclude_modules"] = _excluded(values.get("exclude_modules"))
    try:
        return config_class(kind)(**values)
    except (TypeError, ValueError) as error:
        raise UserError(f"peft: {' '.join(str(error).split())}") from error


def _named_config(name: Any, given: Any) -> Any:
    try:
        return make_adapter_config({"type": "LORA", **given} if isinstance(given, Mapping) else given)
    except UserError as error:
        raise UserError(f"peft.{name}: {str(error).removeprefix('peft: ')}") from error


def _check_type(kind: str) -> None:
    if kind not in ADAPTER_TYPES:
        raise UserError(
            f"peft: type {kind!r} is not supported.{nearest(kind, ADAPTER_TYPES)} Types: {listed(ADAPTER_TYPES)}."
        )


def config_class(kind: str) -> Any:
    """Return PEFT's class of configs of a type.

    Raises:
        ValueError: If the type is not supported.
    """
    _check_type(kind)
    peft = _peft()
    return {"LORA": peft.LoraConfig, "IA3": peft.IA3Config, "LOHA": peft.LoHaConfig, "LOKR": peft.LoKrConfig}[kind]


def _excluded(given: str | Iterable[str] | None) -> str:
    """Return a pattern of the modules that are not adapted: the heads, and those that a user names."""
    if not given or given == _HEADS:
        return _HEADS
    if isinstance(given, str):
        return given if given.startswith(f"{_HEADS}|") else f"{_HEADS}|{given}"
    return rf"{_HEADS}|(.*\.)?({'|'.join(map(re.escape, sorted(given)))})"


class AdaptedModel(PreTrainedModel):
    """A model whose encoder may hold adapters: then they and the heads learn, and they alone are saved."""

    config: MultiTaskConfig
    encoder: PreTrainedModel
    # The whole model has it.
    parameter_depths: Any
    #: Where the encoder's own weights are: see `hf_mtl.model._adapter_base`.
    adapter_base: Any = None
    #: PEFT's config by the name of the adapter, as Transformers and PEFT read it.
    peft_config: Any

    @property
    def has_adapters(self) -> bool:
        """Whether adapters lie in the encoder."""
        return self.adapter_base is not None

    def add_adapter(self, adapter_config: Any, adapter_name: str | None = None) -> None:
        """Put adapters on the encoder and its branches; from then on they and the heads learn, and nothing else.

        Saved, such a model is PEFT's ``adapter_config.json`` and ``adapter_model.safetensors``, in which the heads are
        whole, and ``config.json``. `from_pretrained` loads it, with the encoder from where it is now; so that this is
        sure, the encoder is loaded from there once more, here, and compared.

        Args:
            adapter_config: A ``peft.PeftConfig``, or a mapping: ``{"type": "LORA", "r": 16}``. Or one for each of some
                branches or tasks, ``{"tagging": {"r": 8}}``: adapters then lie in their layers alone and learn from
                their tasks alone; a task without a branch gets one of all layers.
            adapter_name: ``default``: a model has one adapter.

        Raises:
            ValueError: If the model has adapters, the config fits no layer, or the encoder was not loaded from a
                folder or the Hub, or has changed since.
        """
        if self.has_adapters:
            raise UserError("The model has adapters already. Take them in first: merge_and_unload().")
        if adapter_name not in (None, _NAME):
            raise UserError(f"adapter_name={adapter_name!r} is not supported: a model has one adapter, {_NAME!r}.")
        made = make_adapter_config(adapter_config)
        if made is None:
            raise UserError("peft: no adapter is described. Name one, such as {'type': 'LORA', 'r': 16}.")
        if not isinstance(made, dict):
            self._adapt(made)
            return
        with branches_for(self, made) as branches:
            kind = next(iter(made.values())).peft_type
            self._adapt(make_adapter_config(config_class(str(kind.value))(**joined(self, made, branches))))

    def _adapt(self, made: Any) -> None:
        base = base_of(self)
        check_base(base, self)
        made.base_model_name_or_path, made.revision = base.name, base.revision
        inject(self, made)
        self._begin_adapted(base)

    def _begin_adapted(self, base: Any) -> None:
        self.adapter_base = base
        self._hf_peft_config_loaded = True
        apply_frozen(cast(Any, self))

    def load_adapter(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: of a saved adapter's folder, Transformers' own method would leave the heads out.

        Raises:
            ValueError: Always; it says what to do.
        """
        raise UserError(
            "load_adapter is not supported: it would not load the heads. MultiTaskModel.from_pretrained(folder) loads "
            "the encoder, the adapter and the heads."
        )

    def adapter_weights(self) -> list[nn.Parameter]:
        """Return the parameters of the adapters."""
        if not self.has_adapters:
            return []
        own = {id(parameter) for _, parameter in base_parameters(self)}
        depths: Mapping[nn.Parameter, int] = self.parameter_depths()
        return [parameter for parameter in depths if id(parameter) not in own]

    def merge_and_unload(self) -> Any:
        """Add the adapters to the encoder's weights and take them off: a plain model that answers the same.

        Returns:
            The model itself.

        Raises:
            ValueError: If there are no adapters, or a merged weight is not finite.
        """
        if not self.has_adapters:
            raise UserError("The model has no adapters to merge.")
        layers = dict(_adapted_layers(self))
        with torch.no_grad():
            for name, layer in layers.items():
                if not layer.merged:
                    try:
                        layer.merge(safe_merge=True)
                    except ValueError as error:
                        raise UserError(f"{name}: the adapter cannot be merged: {error}") from error
        for name, layer in layers.items():
            self.set_submodule(name, layer.get_base_layer())
        del self.peft_config
        self.adapter_base = None
        self._hf_peft_config_loaded = False
        apply_frozen(cast(Any, self))
        return self


def inject(model: AdaptedModel, config: Any, *, without_memory: bool = False) -> None:
    """Put the layers of an adapter in place.

    Args:
        model: The model.
        config: PEFT's config.
        without_memory: Whether its weights are left on the meta device, to be loaded.

    Raises:
        ValueError: If the config fits none of the encoder's layers.
    """
    peft = _peft()
    try:
        peft.inject_adapter_in_model(config, model, _NAME, low_cpu_mem_usage=without_memory)
    except ValueError as error:
        model.__dict__.pop("peft_config", None)
        reason = " ".join(str(error).split())
        raise UserError(f"peft: {reason} Linear layers of this encoder: {listed(_linear_names(model), 12)}.") from error


def _linear_names(model: AdaptedModel) -> list[str]:
    found = (name for name, module in model.encoder.named_modules() if isinstance(module, nn.Linear))
    return sorted({name.rsplit(".", 1)[-1] for name in found})


def _adapted_layers(model: nn.Module) -> list[tuple[str, Any]]:
    from_peft = _tuner_layer()
    return [(name, module) for name, module in model.named_modules() if isinstance(module, from_peft)]


def base_parameters(model: AdaptedModel) -> list[tuple[str, nn.Parameter]]:
    """Return the encoder's own parameters, its branches' among them, by the names that they have without adapters."""
    adapted = [f"{name}." for name, _ in _adapted_layers(model)]
    found = []
    for name, parameter in model.named_parameters():
        if name.startswith("heads."):
            continue
        within = next((prefix for prefix in adapted if name.startswith(prefix)), None)
        if within is None:
            found.append((name, parameter))
        elif name.startswith(f"{within}base_layer."):
            found.append((within + name.removeprefix(f"{within}base_layer."), parameter))
    return found


def refuse_adapters(model: Any, what: str | None = None) -> None:
    """Refuse adapters that would be lost.

    Args:
        model: The model.
        what: What would lose even adapters that the model itself was given: surgery, say. ``None``: it keeps them.

    Raises:
        ValueError: If there are some; the message says what to do.
    """
    if isinstance(model, AdaptedModel) and model.has_adapters:
        if what is not None:
            raise UserError(
                f"{what} takes models without adapters. Merge them first: model.merge_and_unload() adds them to the "
                "encoder's weights."
            )
        return
    modules = model.named_modules() if isinstance(model, nn.Module) else ()
    for name, module in modules:
        if type(module).__module__.split(".")[0] == "peft":
            where = f"its module {name!r} is" if name else "it is"
            raise UserError(
                f"Adapters of peft that were put on by hand are not supported: {where} a {type(module).__name__}, and "
                "a saved folder would lack the adapters or the heads. Give the plain model and the config to the "
                "trainer, MultiTaskTrainer(model, ..., peft_config=LoraConfig(...)), or call "
                "model.add_adapter(config). Trained ones are merged by merge_and_unload() of the PeftModel."
            )


def _tuner_layer() -> type:
    try:
        from peft.tuners.tuners_utils import BaseTunerLayer
    except ImportError:
        return type("NoLayer", (), {})
    return BaseTunerLayer


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingExtraError("Adapters need peft: pip install 'hf-mtl[peft]'.") from error
    return peft
