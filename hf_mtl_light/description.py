"""``tasks.json``: what a program must know of an exported graph to feed it and to read its outputs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hf_mtl_light.errors import UserError
from hf_mtl_light.names import listed
from hf_mtl_light.pixels import PixelDescription
from hf_mtl_light.tags import SCHEMES

__all__ = [
    "DESCRIPTION_FILE",
    "FORMAT_VERSION",
    "TEMPERATURES",
    "GraphDescription",
    "TaskDescription",
    "checked_temperature",
    "checked_thresholds",
    "coverage_key",
]

DESCRIPTION_FILE = "tasks.json"
#: Raised when a reader of the old form would answer wrongly; new optional fields do not raise it. A folder gets the
#: lowest version that reads it rightly: 3 where a task reads pictures, 2 where one has a temperature, else 1.
FORMAT_VERSION = 3
#: The least and the greatest temperature that a task may have.
TEMPERATURES = (0.01, 100.0)

_LEVELS = ("sequence", "token")
_READINGS = ("text", "image")
_FUNCTIONS = ("softmax", "sigmoid", "none")


def checked_temperature(task: str, value: Any) -> float:
    """Return what a task's logits are divided by, as a float.

    Args:
        task: Name of the task.
        value: The temperature.

    Raises:
        ValueError: If it is no number in `TEMPERATURES`.
    """
    low, high = TEMPERATURES
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise UserError(f"Task {task!r}: a temperature is a number in [{low:g}, {high:g}], found {value!r}.")
    return float(value)


def coverage_key(coverage: Any) -> str:
    """Return a coverage as the text that thresholds are kept by: ``"0.9"``.

    Raises:
        ValueError: If it is no number above 0 and below 1.
    """
    try:
        value = math.nan if isinstance(coverage, bool) else float(coverage)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 < value < 1:
        raise UserError(f"coverage must be a number above 0 and below 1, found {coverage!r}.")
    return repr(round(value, 9))


def checked_thresholds(task: str, given: Any) -> dict[str, float]:
    """Return the thresholds of a task's sets of labels, from coverages as `coverage_key` writes them to probabilities.

    Args:
        task: Name of the task.
        given: The mapping.

    Raises:
        ValueError: If a coverage or a threshold is out of its range.
    """
    if not isinstance(given, Mapping):
        raise UserError(
            f"Task {task!r}: conformal_thresholds must be a mapping such as {{'0.9': 0.05}}, found {given!r}."
        )
    found = {}
    for coverage, threshold in given.items():
        if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
            raise UserError(
                f"Task {task!r}: conformal_thresholds of coverage {coverage} must be a probability, found "
                f"{threshold!r}."
            )
        found[coverage_key(coverage)] = float(threshold)
    return found


@dataclass(frozen=True)
class TaskDescription:
    """How to read one output of the graph, which has the task's name.

    Args:
        name: Name of the task and of its output.
        type: Task type, for people; what follows is enough for programs.
        level: ``"sequence"``: logits [B, C]; ``"token"``: [B, L, C].
        function: What turns logits into scores: ``"softmax"``, ``"sigmoid"``, or ``"none"`` for a number.
        labels: The C labels in order, of several numbers their names; empty for one number.
        thresholds: For ``"sigmoid"``, the score from which each label is answered.
        mean: For a number: ``value = logit * std + mean``; for several a list of C.
        std: See ``mean``, likewise.
        answers: The kind of its answers, a key of `hf_mtl_light.answering.KINDS`; ``None`` is the kind that files
            without this field meant: by ``function``, ``level``, and for ``"scale"`` the type ``sentiment``.
        scheme: For tags, the scheme that spells entities: ``"IOB1"``, ``"IOB2"``, ``"IOBES"``, ``"BILOU"`` or
            ``"plain"``; ``None`` infers it from the labels.
        constrained_decoding: For tags, whether answers are legal in the scheme.
        temperature: What logits are divided by before ``function``; 1 where the task is not calibrated.
        conformal_thresholds: For ``"softmax"`` of rows, from a coverage such as ``"0.9"`` to the probability from which
            a label belongs to a row's set.
        reads: What it reads of a row: ``"text"``, or ``"image"``, whose output is one of ``picture_model``.
        nms_threshold: For objects: of two boxes of a label with a larger intersection over union the better one is
            answered, in [0, 1].
        max_boxes: For objects, the most boxes of a picture that are answered, at least 1.

    Raises:
        ValueError: If a field does not hold what it must.
    """

    name: str
    type: str
    level: str
    function: str
    labels: Sequence[str] = ()
    thresholds: Sequence[float] = ()
    mean: float | Sequence[float] = 0.0
    std: float | Sequence[float] = 1.0
    answers: str | None = None
    scheme: str | None = None
    constrained_decoding: bool = True
    temperature: float = 1.0
    conformal_thresholds: Mapping[str, float] = field(default_factory=dict)
    reads: str = "text"
    nms_threshold: float = 0.6
    max_boxes: int = 100

    def __post_init__(self) -> None:
        for name, choices in (("level", _LEVELS), ("function", _FUNCTIONS), ("reads", _READINGS)):
            if getattr(self, name) not in choices:
                raise UserError(
                    f"Task {self.name!r}: {name} must be one of {', '.join(choices)}, found {getattr(self, name)!r}."
                )
        for name in ("labels", "thresholds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        kept = checked_thresholds(self.name, self.conformal_thresholds)
        object.__setattr__(self, "conformal_thresholds", kept)
        object.__setattr__(self, "temperature", checked_temperature(self.name, self.temperature))
        if self.answers is None:
            object.__setattr__(self, "answers", self._meant())
        if self.scheme is not None and self.scheme not in SCHEMES:
            raise UserError(
                f"Task {self.name!r}: scheme must be one of {listed(SCHEMES)} or null, found {self.scheme!r}."
            )
        if self.function != "none" and not self.labels:
            raise UserError(f"Task {self.name!r}: {self.function} needs labels.")
        if self.function == "sigmoid" and len(self.thresholds) != len(self.labels):
            raise UserError(
                f"Task {self.name!r}: {len(self.thresholds)} thresholds for {len(self.labels)} labels. Give one each."
            )
        overlap, most = self.nms_threshold, self.max_boxes
        if isinstance(overlap, bool) or not isinstance(overlap, (int, float)) or not 0 <= overlap <= 1:
            raise UserError(f"Task {self.name!r}: nms_threshold must be a number in [0, 1], found {overlap!r}.")
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise UserError(f"Task {self.name!r}: max_boxes must be a whole number of at least 1, found {most!r}.")
        if self.function == "none":
            for name in ("mean", "std"):
                value = getattr(self, name)
                found = len(value) if isinstance(value, Sequence) else 1
                if found not in (1, len(self.labels)):
                    raise UserError(f"Task {self.name!r}: {found} of {name} for {len(self.labels)} labels.")

    def _meant(self) -> str:
        """Return the kind of answers of a description that names none."""
        if self.function != "softmax":
            return "labels" if self.function == "sigmoid" else "numbers"
        if self.level == "token":
            return "tags"
        return "scale" if self.type == "sentiment" else "label"


@dataclass(frozen=True)
class GraphDescription:
    """A graph, its inputs and its tasks.

    Args:
        inputs: Names of the inputs, each [B, L] int64: ``input_ids``, ``attention_mask`` (1 at real tokens), and where
            the encoder takes it ``token_type_ids``.
        max_length: The most tokens of a row, special ones included.
        pad_token_id: Id at padding, which is on the right.
        tasks: The tasks, in the order of the outputs.
        unk_token_id: Id of the token for unknown characters; ``None``: there is none.
        pad_token_type_id: Type at padding.
        truncation_side: Where a longer row is cut: ``"right"`` or ``"left"``.
        precision: ``"float32"`` or ``"int8"``.
        model: File of the graph.
        tokenizer: File of the tokenizer, as the tokenizers library reads it.
        vocabulary: Number and hash of the tokenizer's tokens, see `hf_mtl_light.encoding.vocabulary_digest`; ``None``:
            not known.
        picture_model: File of the graph of the tasks that read pictures, whose input is ``pixel_values``, [B, channels,
            height, width] float32; ``None``: no task does. Where all do, ``inputs`` is empty, and there is no
            ``model`` and no ``tokenizer``.
        pixels: How pictures become its input.
        version: Version of this form; ``None`` is the lowest that says all of it: see `FORMAT_VERSION`.
    """

    inputs: Sequence[str]
    max_length: int
    pad_token_id: int
    tasks: Sequence[TaskDescription]
    unk_token_id: int | None = None
    pad_token_type_id: int = 0
    truncation_side: str = "right"
    precision: str = "float32"
    model: str = "model.onnx"
    tokenizer: str = "tokenizer.json"
    vocabulary: str | None = None
    picture_model: str | None = None
    pixels: PixelDescription | None = None
    version: int | None = None

    def __post_init__(self) -> None:
        for what in ("model", "tokenizer", *(("picture_model",) if self.picture_model is not None else ())):
            name = getattr(self, what)
            if not isinstance(name, str) or name in ("", ".", "..") or {*name} & {*"/\\:"}:
                raise UserError(f"{what} must be the name of a file in the folder, found {name!r}")
        if self.version is None:
            needed = 2 if any(task.temperature != 1 for task in self.tasks) else 1
            needed = 3 if any(task.reads == "image" for task in self.tasks) else needed
            object.__setattr__(self, "version", needed)

    def to_json(self) -> str:
        """Return the file's text."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, folder: str | Path) -> GraphDescription:
        """Read the description in a folder.

        Raises:
            ValueError: If the folder holds none, or one of a form that this version does not know.
        """
        file = Path(folder) / DESCRIPTION_FILE
        if not file.is_file():
            raise UserError(
                f"{str(folder)!r} holds no {DESCRIPTION_FILE}, so it is no exported model. "
                "Write one with hf-mtl export MODEL OUT --to onnx."
            )
        try:
            values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            version = values["version"]
            if version not in range(1, FORMAT_VERSION + 1):
                raise UserError(
                    f"its version is {version!r}, and this hf-mtl reads 1 to {FORMAT_VERSION}. Export the model again"
                )
            known = {known.name for known in dataclasses.fields(cls)}
            task_fields = {known.name for known in dataclasses.fields(TaskDescription)}
            tasks = [
                TaskDescription(**{name: value for name, value in task.items() if name in task_fields})
                for task in values["tasks"]
            ]
            if values.get("pixels") is not None:
                values["pixels"] = PixelDescription(**values["pixels"])
            return cls(**{**{name: value for name, value in values.items() if name in known}, "tasks": tasks})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{str(file)!r} cannot be read: {str(error).rstrip('.')}.") from error
