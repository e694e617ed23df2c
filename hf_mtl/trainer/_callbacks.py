"""Callbacks that are added, taken and removed: an object that is none is refused when it is given."""

from __future__ import annotations

from typing import Any

from transformers import Trainer

from hf_mtl.trainer._types import check_types
from hf_mtl_light.errors import UserError

__all__ = ["CallbackTrainer"]


class CallbackTrainer(Trainer):
    """Transformers' trainer that takes callbacks alone; Transformers' own fails at the next event, or never."""

    def add_callback(self, callback: Any) -> None:
        """Add a callback, or an object of a class of callbacks.

        Raises:
            TypeError: If it is neither.
        """
        check_types(callback=callback, needed=["callback"])
        super().add_callback(callback)

    def pop_callback(self, callback: Any) -> Any:
        """Remove and return a callback, or the first of a class; ``None`` if there is none.

        Raises:
            TypeError: If it is neither.
        """
        check_types(callback=callback, needed=["callback"])
        return super().pop_callback(callback)

    def remove_callback(self, callback: Any) -> None:
        """Remove a callback, or the first of a class, if there is one.

        Raises:
            TypeError: If it is neither.
            ValueError: If a callback is named that this trainer does not have.
        """
        check_types(callback=callback, needed=["callback"])
        if not isinstance(callback, type) and callback not in self.callback_handler.callbacks:
            raise UserError(
                f"remove_callback: this {type(callback).__name__} is none of the trainer's callbacks. Pass the object "
                "that was added, or its class."
            )
        super().remove_callback(callback)
