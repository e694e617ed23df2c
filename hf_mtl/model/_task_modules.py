"""Modules by the names of tasks, which may be any text."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView
from typing import Any

from torch import nn

from hf_mtl.configuration import module_key, task_of_key

__all__ = ["TaskModules"]


class TaskModules(nn.ModuleDict):
    """A ``ModuleDict`` whose keys are names of tasks: whatever name, its parameters have names that can be saved.

    >>> modules = TaskModules({"score (0-5)": nn.Linear(1, 1, bias=False)})
    >>> list(modules), list(modules.state_dict())
    (['score (0-5)'], ['task_x3a_score_x20__x28_0-5_x29_.weight'])
    """

    def __getitem__(self, key: str) -> nn.Module:
        return super().__getitem__(module_key(key))

    def __setitem__(self, key: str, module: nn.Module) -> None:
        super().__setitem__(module_key(key), module)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(module_key(key))

    def __contains__(self, key: Any) -> bool:
        return isinstance(key, str) and super().__contains__(module_key(key))

    def __iter__(self) -> Iterator[str]:
        return map(task_of_key, super().__iter__())

    def keys(self) -> KeysView[str]:
        """Return the names of the tasks."""
        return dict.fromkeys(self).keys()

    def items(self) -> ItemsView[str, nn.Module]:
        """Return the names of the tasks and their modules."""
        return dict(zip(self, self.values(), strict=True)).items()
