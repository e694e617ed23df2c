"""A model's tasks: which there are, one in the place of another, one as a separate model."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from hf_mtl.configuration import MultiTaskConfig, TaskConfig
from hf_mtl.model._task_view import TaskView, view_task

__all__ = ["TaskedModel"]


class TaskedModel(PreTrainedModel):
    """A model of named tasks."""

    config: MultiTaskConfig
    # The whole model has it.
    task_heads: Any

    @property
    def tasks(self) -> list[TaskConfig]:
        """The tasks, in order."""
        return list(self.config.tasks)

    def replace_task(self, task: TaskConfig) -> None:
        """Put a task in the place of the one of the same name, keeping its head's weights."""
        self.config.task(task.name)
        self.config.tasks = [task if old.name == task.name else old for old in self.config.tasks]
        self.task_heads[task.name].task = task

    def for_task(self, name: str) -> TaskView:
        """Return a task as a separate model, for Transformers' stock pipelines; it shares this model's weights.

        Args:
            name: The task.

        Raises:
            KeyError: If there is no such task.
        """
        self.config.task(name)
        head = self.task_heads[name]
        return view_task(self, head, self.config.encoder_configs[head.modality()])
