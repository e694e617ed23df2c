"""The keys of a recipe and the types of their values, by pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hf_mtl._names import listed, nearest
from hf_mtl.recipe._mistakes import RecipeError
from hf_mtl.recipe._presets import PRESETS, with_preset
from hf_mtl_light.errors import UserError

__all__ = ["BalancingKeys", "DatasetKeys", "EncoderOptions", "SamplingKeys", "TopKeys", "as_recipe_error"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, values: Any) -> Any:
        # pydantic's own message for an unknown key does not know the nearest one.
        if isinstance(values, Mapping):
            for key in values:
                if key not in cls.model_fields:
                    valid = list(cls.model_fields)
                    raise UserError(f"unknown key {key!r}.{nearest(str(key), valid)} Keys: {listed(valid)}.")
        return values


class EncoderOptions(_Strict):
    """How the encoder is loaded: arguments of ``from_pretrained``."""

    dtype: str | None = None
    attn_implementation: str | None = None
    revision: str | None = None
    bidirectional: bool | None = None


class SamplingKeys(BaseModel):
    """How often each dataset is drawn: a strategy and, as further keys, its options."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    strategy: str = "proportional"

    @property
    def options(self) -> dict[str, Any]:
        """The strategy's options, and those that go with any."""
        return dict(self.model_extra or {})


class BalancingKeys(BaseModel):
    """How the tasks' losses become one: a method, and besides it the method's options."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    method: str = "fixed"

    @property
    def options(self) -> dict[str, Any]:
        """The options that are given."""
        return dict(self.model_extra or {})


class DatasetKeys(_Strict):
    """One source of rows.

    Args:
        load: Arguments of ``datasets.load_dataset``.
        columns: Column in the data -> ``text``, ``text_pair``, ``tokens``, ``choices``, ``image`` or a task's name.
        constants: Task -> the label that all rows have, such as the domain that a dataset is of.
        train: The source's name of the training split, where it is not ``train``; a slice such as ``train[:1000]``
            is allowed, as for the others.
        validation: The source's name of the validation split.
        test: The source's name of the test split.
        validation_size: Without a validation split: the part of the training rows to hold out, as a fraction or, from
            1, in rows; 0 holds none out. Of a stream the first rows are held out, and by default none.
        test_size: The same for a test split; by default there is then none.
        augmentation: Options of augmentations for its rows; they take precedence over those at the top.
    """

    load: dict[str, Any]
    columns: dict[str, str]
    constants: dict[str, str | int | float] = {}
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    validation_size: float = Field(default=0.1, ge=0, allow_inf_nan=False)
    test_size: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    augmentation: dict[str, dict[str, Any]] = {}


class TopKeys(_Strict):
    """The top of a recipe."""

    encoder: str | None = None
    encoders: dict[str, str] = {}
    model: str | None = None
    only: list[str] = []
    encoder_kwargs: EncoderOptions = EncoderOptions()
    image_size: int | list[int] | None = None
    datasets: dict[str, DatasetKeys]
    branches: dict[str, int] = {}
    tasks: dict[str, dict[str, Any]] = {}
    training: dict[str, Any] = {}
    sampling: SamplingKeys | None = None
    balancing: BalancingKeys | None = None
    augmentation: dict[str, dict[str, Any]] = {}
    methods: dict[str, dict[str, Any]] = {}
    average: dict[str, Any] = {}
    peft: dict[str, Any] = {}
    preset: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _expand_preset(cls, values: Any) -> Any:
        return with_preset(values) if isinstance(values, Mapping) else values

    @field_validator("preset")
    @classmethod
    def _check_preset(cls, name: str | None) -> str | None:
        if name is not None and name not in PRESETS:
            raise UserError(f"unknown preset {name!r}.{nearest(name, PRESETS)} Presets: {listed(sorted(PRESETS))}.")
        return name


#: pydantic's name of a wrong type -> ours.
_EXPECTED = {
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "int_type": "a whole number",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "float_type": "a number",
    "missing": "a value",
}


def as_recipe_error(error: ValidationError) -> RecipeError:
    """Return pydantic's first finding as one line."""
    first = error.errors(include_url=False)[0]
    # pydantic names the key of a mapping by an extra step.
    where = ".".join(str(step) for step in first["loc"] if step != "[key]")
    kind = first["type"]
    if kind == "missing":
        return RecipeError(where, "is missing.")
    if kind == "value_error":
        return RecipeError(where, str(first["ctx"]["error"]))
    if kind in _EXPECTED:
        return RecipeError(where, f"expected {_EXPECTED[kind]}, found {first['input']!r}.")
    return RecipeError(where, f"{first['msg']}, found {first['input']!r}.")
