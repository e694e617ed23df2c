"""Where teachers' answers come from in a training: models that run beside the student, or a file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch

from hf_mtl.configuration import Modality
from hf_mtl.data import StoredPredictions, changed_pixels, longest_input, vocabulary_mark
from hf_mtl.heads import CrfTaggingHead, Head
from hf_mtl.model import MultiTaskModel
from hf_mtl.training_methods._base import TrainingStart
from hf_mtl.training_methods._micro_batch import MicroBatch
from hf_mtl.training_methods._teachers import Lesson, Teacher, load_teacher
from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError

__all__ = ["Answers", "ModelAnswers", "StoredAnswers"]

_INPUTS: dict[Modality, tuple[str, ...]] = {
    "text": ("input_ids", "attention_mask", "token_type_ids"),
    "image": ("pixel_values",),
}


class Answers(Protocol):
    """What teachers answered for the rows of a batch."""

    def rows(self, rows: Sequence[Row]) -> Sequence[Row] | None:
        """Return the rows with the answers for labels, where rows are read; ``None``: only a pass shows them."""
        ...

    def labels(self, batch: MicroBatch) -> dict[str, torch.Tensor]:
        """Return for each task of a micro-batch the answers as labels, in the form of `Head.encode_labels`."""
        ...


class StoredAnswers:
    """Answers that were stored.

    Args:
        stored: The file.
        lessons: The order of its labels by task.
        start: The training.

    Raises:
        ValueError: If a labelled row has no answer, or rows are changed whose words have answers.
    """

    def __init__(self, stored: StoredPredictions, lessons: Mapping[str, Lesson], start: TrainingStart) -> None:
        self._stored, self._lessons = stored, dict(lessons)
        self._heads = {name: type(start.heads[name]) for name in lessons}
        self._tasks = {name: start.heads[name].task for name in lessons}
        for name in lessons:
            if start.changes_rows and self._heads[name].needs_words:
                raise UserError(
                    f"method 'distillation', task {name!r}: {stored.path} holds answers for the words of rows, and "
                    "augmentation changes these. Leave one of the two out, or let the teachers run beside: teachers: "
                    "FOLDER."
                )
            for dataset, data in start.datasets.items():
                if name in data.tasks:
                    if (last := stored.last_row(dataset, name)) >= len(data):
                        raise UserError(
                            f"Dataset {dataset!r}, row {last}, task {name!r}: {stored.path} has a prediction for it, "
                            f"and the training split has {len(data)} rows, so they are others than those answered. "
                            "Store the predictions of this split."
                        )
                    stored.check_inputs(dataset, data.input_hashes)
                    for row, _ in data.labels(name):
                        stored.check(dataset, row, name)

    def rows(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the rows with the answers for labels; words without an answer keep their label."""
        return [
            replace(row, labels={name: self._answer(row, name) for name in self._lessons if name in row.labels})
            for row in rows
        ]

    def _answer(self, row: Row, name: str) -> Any:
        head, task, order = self._heads[name], self._tasks[name], self._lessons[name].order
        found = self._stored.get(row.dataset, row.index, name)
        if not head.needs_words:
            numbers = found[0] if isinstance(found[0], list) else found
            in_order = [numbers[place] for place in order] if order else list(numbers)
            if not head.is_regression:
                return in_order
            label = row.labels[name]
            if task.labels is None:
                return in_order[0]
            return [
                None if own is None else number
                for own, number in zip(head.reference(task, label), in_order, strict=True)
            ]
        label = row.labels[name]
        if len(found) != len(label):
            raise UserError(
                f"Dataset {row.dataset!r}, row {row.index}, task {name!r}: {self._stored.path} has answers for "
                f"{len(found)} words, and the row has {len(label)}. Store the predictions of these rows."
            )
        is_chain = issubclass(head, CrfTaggingHead)
        return [
            own if answer is None or (own is None and not is_chain) else [answer[place] for place in order]
            for own, answer in zip(label, found, strict=True)
        ]

    def labels(self, batch: MicroBatch) -> dict[str, torch.Tensor]:
        """Return the answers that came with the micro-batch."""
        return {name: batch.taught[name] for name in batch.heads}


class ModelAnswers:
    """Answers of models that run beside the student, in evaluation mode, without gradients and autocast.

    Args:
        lessons: The teacher of each task.
        start: The training.

    Raises:
        ValueError: If a teacher has another vocabulary than the student or reads shorter texts, or single words of its
            answers do not follow from its tokens.
    """

    def __init__(self, lessons: Mapping[str, Lesson], start: TrainingStart) -> None:
        self._lessons = dict(lessons)
        self._models: dict[str, MultiTaskModel] = {}
        for name, lesson in lessons.items():
            if start.heads[name].task.options.get("label_all_tokens"):
                raise UserError(
                    f"method 'distillation', task {name!r}: with label_all_tokens answers belong to words, which the "
                    "teachers' passes do not show. Store their predictions first: hf-mtl distill."
                )
            if lesson.folder in self._models:
                continue
            teacher = load_teacher(lesson.folder)
            of_teacher = [start.heads[each] for each, own in lessons.items() if own.folder == lesson.folder]
            taught = {kind for head in of_teacher for kind in head.modalities()}
            if (reason := _why_not_beside(teacher, taught, start)) is not None:
                raise UserError(
                    f"teacher {lesson.folder!r} {reason}, so it cannot run beside it. Store its predictions first, "
                    "with hf-mtl distill, or hf_mtl.distillation.store_predictions."
                )
            torch.nn.Module.to(teacher.model, start.device)  # Transformers' own, wrapped, hides its types
            self._models[lesson.folder] = teacher.model
        for name, lesson in lessons.items():
            head, student = self._models[lesson.folder].task_heads[lesson.task], start.heads[name]
            if isinstance(head, CrfTaggingHead) and not isinstance(student, CrfTaggingHead):
                raise UserError(
                    f"method 'distillation', task {name!r}: a crf-tagging teacher needs to know where chains begin, "
                    "which labels of token-classification do not say. Store its predictions first: hf-mtl distill."
                )

    def rows(self, rows: Sequence[Row]) -> None:
        """Return nothing: answers need a pass."""
        return

    @torch.no_grad()
    def labels(self, batch: MicroBatch) -> dict[str, torch.Tensor]:
        """Run each teacher once over the micro-batch."""
        found: dict[str, torch.Tensor] = {}
        for names in self._passes(batch.heads):
            model = self._models[self._lessons[names[0]].folder]
            rows = {self._lessons[name].task: batch.inputs["rows"][name] for name in names}
            kinds = {kind for name in names for kind in batch.heads[name].modalities()}
            read = ["pairs", *(key for kind in kinds for key in _INPUTS[kind])]
            inputs = {key: batch.inputs[key] for key in read if batch.inputs.get(key) is not None}
            with torch.autocast(model.device.type, enabled=False):
                logits = model(**inputs, rows=rows, tasks=list(rows)).logits
            heads = model.task_heads
            for name in names:
                lesson, labels = self._lessons[name], batch.inputs["labels"][name]
                probabilities = heads[lesson.task].label_probabilities(logits[lesson.task], labels)
                student = batch.heads[name]
                found[name] = type(student).soft_labels(student.task, lesson.in_order(probabilities), labels)
        return found

    def _passes(self, names: Mapping[str, Head]) -> list[list[str]]:
        """Return the tasks that one pass of a teacher answers: of each of its tasks one."""
        passes: dict[tuple[str, int], list[str]] = {}
        seen: dict[tuple[str, str], int] = {}
        for name in names:
            lesson = self._lessons[name]
            number = seen[lesson.folder, lesson.task] = seen.get((lesson.folder, lesson.task), -1) + 1
            passes.setdefault((lesson.folder, number), []).append(name)
        return list(passes.values())


def _why_not_beside(teacher: Teacher, taught: Collection[Modality], start: TrainingStart) -> str | None:
    """Return why a teacher cannot read the student's inputs, as the end of a sentence; ``None``: it can."""
    if "text" in taught:
        assert teacher.tokenizer is not None, "it reads texts"
        assert start.tokenizer is not None, "the student reads texts"
        if vocabulary_mark(teacher.tokenizer) != vocabulary_mark(start.tokenizer):
            return "has another vocabulary than the student"
        if (longest := longest_input(teacher.tokenizer, teacher.model.config.encoder_config)) < start.max_length:
            return f"reads at most {longest} tokens, and the student {start.max_length}"
    if "image" in taught and (changed := changed_pixels(teacher.image_processor, start.image_processor)):
        return f"has an image processor with another {changed[0]} than the student's"
    return None
