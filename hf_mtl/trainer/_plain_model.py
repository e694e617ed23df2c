"""The model without what distributed training wraps around it, found once."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["PlainModels"]


class PlainModels:
    """Takes off what distributed training wraps around a model.

    accelerate walks through all modules of a model and looks on disk for packages each time it is asked, which a step
    of a training does several times: so what it found for the last model is kept, and the model is not kept alive.

    Args:
        unwrap: ``Accelerator.unwrap_model``.
    """

    def __init__(self, unwrap: Callable[..., Any]) -> None:
        self._unwrap = unwrap
        self._last: tuple[Callable[[], Any], Callable[[], Any]] = (_nothing, _nothing)

    def __call__(self, model: Any) -> Any:
        """Return the plain model of a model."""
        wrapped, plain = (of() for of in self._last)
        if plain is None or wrapped is not model:
            plain = self._unwrap(model)
            if model is not None:
                self._last = weakref.ref(model), weakref.ref(plain)
        return plain


def _nothing() -> None:
    return None
