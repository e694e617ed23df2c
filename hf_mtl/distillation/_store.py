"""Teachers' answers for all training rows in one file, made block by block, so that a kill loses one block."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import xxhash
from tqdm.auto import tqdm

from hf_mtl.configuration import TaskConfig
from hf_mtl.data import LabelledDataset, Prediction, as_datasets, longest_input, write_predictions
from hf_mtl.heads import Head, head_class
from hf_mtl.inference import gives_probabilities, probabilities
from hf_mtl.training_methods import Lesson, Teacher, load_teacher, match_teachers
from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import write_text_whole, written_whole

__all__ = ["store_predictions"]

#: Rows that are answered before a file is written.
_BLOCK = 2_000


def store_predictions(
    teachers: str | Sequence[str] | Mapping[str, str],
    datasets: Any,
    tasks: Sequence[TaskConfig],
    path: str | Path,
    *,
    max_length: int | None = None,
    heads: Mapping[str, type[Head]] | None = None,
    progress: bool = True,
) -> dict[str, Lesson]:
    """Let teachers answer all labelled training rows, and store their probabilities in one file.

    Each teacher runs once over the rows of its tasks. What is done is kept in a folder beside the file until the file
    is whole, so the same call continues after a kill; where the file is there and was made of the same teachers and
    rows, nothing is done.

    Args:
        teachers: As `hf_mtl.training_methods.Distillation` takes models.
        datasets: The training rows, in any form that the trainer takes.
        tasks: The student's tasks.
        path: The Parquet file.
        max_length: The most tokens of a row; ``None``, and where that is less, the most that a teacher takes.
        heads: Further task types and their heads.
        progress: Whether to show a bar of rows.

    Returns:
        Which task of which teacher teaches each task.

    Raises:
        ValueError: If a teacher fits no task, no task has a teacher, a teacher is named for a task of spans, or no row
            has a label of one.
    """
    target = Path(path)
    classes = {task.name: head_class(task, heads) for task in tasks}
    teachable = [t for t in tasks if classes[t.name].label_probabilities is not Head.label_probabilities]
    lessons = match_teachers(teachers, teachable)
    if spans := [name for name in lessons if not gives_probabilities(classes[name])]:
        if isinstance(teachers, Mapping):
            raise UserError(
                f"Task {spans[0]!r}: answers of {classes[spans[0]].__name__} belong to tokens of windows and cannot be "
                "stored. Let its teacher run beside the student: methods: {distillation: {teachers: FOLDER}}."
            )
        lessons = {name: lesson for name, lesson in lessons.items() if name not in spans}
    labelled = {
        name: LabelledDataset(name, data, tasks, classes, needs_labels=False)
        for name, data in as_datasets(datasets, "train").items()
    }
    work = [
        (folder, dataset, names)
        for folder in dict.fromkeys(lesson.folder for lesson in lessons.values())
        for dataset in labelled.values()
        if (names := [task for task in dataset.tasks if task in lessons and lessons[task].folder == folder])
    ]
    total = sum(len(dataset) for _, dataset, _ in work)
    if total == 0:
        raise UserError("No training row has a column of a task with a teacher. Give the rows that are to be answered.")
    made_of = _made_of(work, lessons, max_length)
    note = target.with_name(f"{target.name}.json")
    if target.exists() and note.exists() and note.read_text(encoding="utf-8") == made_of:
        return lessons
    words = [name for name in lessons if classes[name].needs_words]
    labels = {task.name: task.labels for task in tasks if task.name in lessons}
    inputs = {dataset.name: dataset.input_hashes for _, dataset, _ in work}
    folder = target.with_name(f".{target.name}.{xxhash.xxh3_64_hexdigest(made_of.encode())}.blocks")
    folder.mkdir(parents=True, exist_ok=True)
    blocks: list[Path] = []
    with tqdm(total=total, desc="Teachers answer", unit=" rows", disable=not progress) as bar:
        for number, (teacher, dataset, names) in enumerate(work):
            answering = _Answering(teacher, dataset, {name: lessons[name] for name in names}, words, max_length)
            for start in range(0, len(dataset), _BLOCK):
                block = folder / f"{number}-{start}.parquet"
                if not block.exists():
                    numbers = range(start, min(start + _BLOCK, len(dataset)))
                    write_predictions(block, answering(numbers), labels, words, inputs)
                blocks.append(block)
                bar.update(min(_BLOCK, len(dataset) - start))
    with written_whole(target) as stream:
        pq.write_table(pa.concat_tables([pq.read_table(block) for block in blocks]), stream)
    write_text_whole(note, made_of)
    shutil.rmtree(folder)
    return lessons


class _Answering:
    """A teacher that answers rows of one dataset; it is loaded when the first is asked for."""

    def __init__(
        self,
        folder: str,
        dataset: LabelledDataset,
        lessons: Mapping[str, Lesson],
        words: Sequence[str],
        max_length: int | None,
    ) -> None:
        self._folder, self._dataset, self._lessons, self._words = folder, dataset, lessons, words
        self._max_length = max_length
        self._loaded: Teacher | None = None

    def __call__(self, numbers: range) -> Iterator[Prediction]:
        """Yield the predictions of the rows with a label."""
        rows = [row for row in self._dataset.read(numbers) if not row.labels.keys().isdisjoint(self._lessons)]
        if not rows:
            return
        if self._loaded is None:
            self._loaded = teacher = load_teacher(self._folder)
            device = "cuda" if torch.cuda.is_available() else "cpu"
            torch.nn.Module.to(teacher.model, device)  # Transformers' own, wrapped, hides its types
            if teacher.tokenizer is not None:
                longest = longest_input(teacher.tokenizer, teacher.model.config.encoder_config)
                self._max_length = min(self._max_length or longest, longest)
        asked = list(dict.fromkeys(lesson.task for lesson in self._lessons.values()))
        teacher = self._loaded
        reads = {kind for name in asked for kind in teacher.model.task_heads[name].modalities()}
        found = probabilities(
            teacher.model,
            teacher.tokenizer if "text" in reads else None,
            rows,
            tasks=asked,
            max_length=self._max_length if "text" in reads else None,
            image_processor=teacher.image_processor if "image" in reads else None,
        )
        for row, answers in zip(rows, found, strict=True):
            for name, lesson in self._lessons.items():
                answer = answers[lesson.task]
                if name not in row.labels or answer is None:
                    continue
                in_order = [None if one is None else _ordered(one, lesson) for one in answer]
                values: Any = in_order if name in self._words else in_order[0]
                yield Prediction(row.dataset, row.index, name, values)


def _ordered(probabilities: Sequence[float], lesson: Lesson) -> list[float]:
    return [probabilities[place] for place in lesson.order] if lesson.order else list(probabilities)


def _made_of(
    work: Sequence[tuple[str, LabelledDataset, list[str]]], lessons: Mapping[str, Lesson], max_length: int | None
) -> str:
    """Return what the answers depend on: teachers, by the size and time of their weights, and the rows."""
    facts = [
        {
            "teacher": folder,
            "weights": [
                (file.name, file.stat().st_size, file.stat().st_mtime_ns)
                for file in sorted(Path(folder).glob("*.safetensors"))
            ],
            "lessons": {name: asdict(lessons[name]) for name in names},
            "dataset": dataset.name,
            "content": dataset.content,
            "max_length": max_length,
        }
        for folder, dataset, names in work
    ]
    return json.dumps(facts, ensure_ascii=False)
