"""Teachers: models whose answers tasks learn from, found by the names of their labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer, PreTrainedTokenizerBase

from hf_mtl._names import listed
from hf_mtl.configuration import Modality, MultiTaskConfig, TaskConfig
from hf_mtl.heads import kind_of
from hf_mtl.model import MultiTaskModel
from hf_mtl.stock import stock_task
from hf_mtl_light.errors import UserError

__all__ = ["Lesson", "Teacher", "Teachers", "label_order", "load_teacher", "match_teachers", "teacher_folders"]

#: The name of a stock model's one task.
STOCK_TASK = "task"
#: Teachers as options give them: a model, a folder of models, several of them, or a model by task.
Teachers = str | Sequence[str] | Mapping[str, str]


@dataclass(frozen=True)
class Lesson:
    """A task of a teacher that teaches one of the student's.

    Args:
        folder: The teacher's folder or Hub id.
        task: Its task there.
        order: For each label of the student's task its place among the teacher's; none for numbers without names.
    """

    folder: str
    task: str
    order: tuple[int, ...]

    def in_order(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Return the teacher's probabilities [..., C] in the order of the student's labels."""
        return probabilities[..., list(self.order)] if self.order else probabilities


@dataclass(frozen=True)
class Teacher:
    """A loaded teacher.

    Args:
        model: The model, in evaluation mode; a stock model has one task, ``"task"``.
        tokenizer: Its tokenizer, if it reads texts.
        image_processor: What makes its pixels, if it reads pictures.
    """

    model: MultiTaskModel
    tokenizer: PreTrainedTokenizerBase | None
    image_processor: Any


def teacher_folders(teachers: str | Sequence[str]) -> list[str]:
    """Return the folders of models, or Hub ids: a folder without a config.json stands for the models in it.

    Raises:
        ValueError: If such a folder holds no model.
    """
    found = []
    for name in [teachers] if isinstance(teachers, str) else teachers:
        folder = Path(name).expanduser()
        if not folder.is_dir() or (folder / "config.json").exists():
            found.append(str(folder) if folder.is_dir() else name)
            continue
        inner = sorted(str(path) for path in folder.iterdir() if (path / "config.json").exists())
        if not inner:
            raise UserError(f"teachers: {name!r} is no model and holds none: there is no config.json in it or below.")
        found.extend(inner)
    return found


def _tasks_of(folder: str) -> list[TaskConfig]:
    """Return the tasks of a teacher, from its config alone."""
    try:
        config: Any = AutoConfig.from_pretrained(folder)
        if isinstance(config, MultiTaskConfig):
            return list(config.tasks)
        return [stock_task(STOCK_TASK, config)]
    except (UserError, OSError, ValueError) as error:
        raise UserError(f"teacher {folder!r}: {' '.join(str(error).split())}") from error


def _kind(task: TaskConfig) -> tuple[tuple[Modality, ...], str] | None:
    """Return what tasks have in common that can teach each other; ``None``: it teaches none."""
    head = kind_of(task)
    kind = "labels" if task.is_multi_label else head.lesson_kind
    return None if kind is None else (head.modalities(), kind)


def label_order(task: TaskConfig, labels: Sequence[str] | None) -> tuple[int, ...] | None:
    """Return for each label of a task its place among others; ``None`` if these are not the same labels."""
    own = list(task.labels or ())
    given = list(labels or ())
    return tuple(map(given.index, own)) if sorted(own) == sorted(given) else None


def _order(task: TaskConfig, taught: TaskConfig) -> tuple[int, ...] | None:
    return label_order(task, taught.labels) if _kind(task) == _kind(taught) is not None else None


def _shown(task: TaskConfig) -> str:
    return f"{task.type} with {listed(task.labels) if task.labels else 'no labels'}"


def match_teachers(
    teachers: Teachers, tasks: Sequence[TaskConfig], chosen: Collection[str] | None = None
) -> dict[str, Lesson]:
    """Return what teaches each task: the teacher's task with the same labels, in whatever order.

    Args:
        teachers: A model, a folder of models or a list of them, whose tasks are matched by their labels, one of the
            same name first; or a model for each task by name.
        tasks: The student's tasks.
        chosen: Names of the tasks that must be taught; ``None``: any that can be.

    Raises:
        ValueError: If a task has no teacher or several, a teacher fits no task, or a name is unknown.
    """
    by_name = {task.name: task for task in tasks}
    if isinstance(teachers, Mapping):
        for name in teachers:
            if name not in by_name:
                raise UserError(f"teachers name {name!r}, which is no task of the model. Tasks: {listed(by_name)}.")
        found = {name: _lesson_of(by_name[name], str(folder)) for name, folder in teachers.items()}
    else:
        found = _matched(teacher_folders(teachers), [t for t in tasks if chosen is None or t.name in chosen])
    for name in chosen or ():
        if name not in found and name in by_name:
            raise UserError(
                f"Task {name!r}: no teacher has its labels, {_shown(by_name[name])}. Name its teacher, "
                f"teachers: {{{name}: FOLDER}}, or leave the task out."
            )
    return found


def _lesson_of(task: TaskConfig, folder: str) -> Lesson:
    """Return what teaches a task in a teacher that is named for it."""
    given = _tasks_of(folder)
    fitting = [(taught, order) for taught in given if (order := _order(task, taught)) is not None]
    chosen = [pair for pair in fitting if pair[0].name == task.name] or fitting
    if len(chosen) != 1:
        shown = "; ".join(f"{taught.name!r}, {_shown(taught)}" for taught in given)
        what = "several tasks" if chosen else "no task"
        raise UserError(
            f"Task {task.name!r}: teacher {folder!r} has {what} with its labels, {_shown(task)}. It has: {shown}. The "
            "names of the labels must be the same (id2label of a stock model), in any order."
        )
    return Lesson(folder, chosen[0][0].name, chosen[0][1])


def _matched(folders: Sequence[str], tasks: Sequence[TaskConfig]) -> dict[str, Lesson]:
    candidates: dict[str, list[tuple[bool, Lesson]]] = {task.name: [] for task in tasks}
    for folder in folders:
        given, fits = _tasks_of(folder), False
        for taught in given:
            for task in tasks:
                order = _order(task, taught)
                if order is not None:
                    fits = True
                    candidates[task.name].append((taught.name == task.name, Lesson(folder, taught.name, order)))
        if not fits:
            shown = "; ".join(f"{taught.name!r}, {_shown(taught)}" for taught in given)
            raise UserError(
                f"teacher {folder!r} fits no task: it answers {shown}. The tasks: "
                f"{'; '.join(f'{task.name!r}, {_shown(task)}' for task in tasks)}. What is read and "
                "the names of labels must be the same."
            )
    found = {}
    for name, pairs in candidates.items():
        chosen = [lesson for same, lesson in pairs if same] or [lesson for _, lesson in pairs]
        if len(chosen) > 1:
            raise UserError(
                f"Task {name!r}: {len(chosen)} teachers have its labels, {listed([each.folder for each in chosen])}. "
                f"Name the one that is meant: {name}=FOLDER, or teachers: {{{name}: FOLDER}}."
            )
        if chosen:
            found[name] = chosen[0]
    if not found:
        raise UserError("teachers: none teaches any task. Give models with the labels of the tasks.")
    return found


def load_teacher(folder: str) -> Teacher:
    """Load a teacher, a multi-task model or a stock model of one task, and what makes its inputs.

    Raises:
        ValueError: If it cannot be loaded.
    """
    try:
        if isinstance(AutoConfig.from_pretrained(folder), MultiTaskConfig):
            model = MultiTaskModel.from_pretrained(folder)
        else:
            model = MultiTaskModel.from_transformers({STOCK_TASK: folder})
        tokenizer = AutoTokenizer.from_pretrained(folder) if "text" in model.encoders else None
        image_processor = AutoImageProcessor.from_pretrained(folder) if "image" in model.encoders else None
    except (OSError, ValueError) as error:
        raise UserError(f"teacher {folder!r}: {' '.join(str(error).split())}") from error
    return Teacher(model.eval().requires_grad_(False), tokenizer, image_processor)
