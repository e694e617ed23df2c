"""All tasks as one ONNX graph, in a folder that needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from hf_mtl._names import listed
from hf_mtl.data import MultiTaskCollator, Row, check_processors, longest_input
from hf_mtl.encoder import check_finite
from hf_mtl.export._card import onnx_card
from hf_mtl.export._check import Agreement, batches_of, compare
from hf_mtl.export._folder import written_whole
from hf_mtl.export._graph import TracedModel, needed, write_graph
from hf_mtl.export._pictures import describe_pixels, made_up_pictures
from hf_mtl.export._quantize import quantize_int8
from hf_mtl.export._scores import TaskScores, check_scores, compare_scores, score_all
from hf_mtl.heads import Head
from hf_mtl.inference import make_answerer
from hf_mtl.model import MultiTaskModel, refuse_adapters
from hf_mtl_light import OnnxPredictor
from hf_mtl_light.answering import KINDS
from hf_mtl_light.description import GraphDescription, TaskDescription
from hf_mtl_light.encoding import vocabulary_digest
from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import write_text_whole

__all__ = ["OnnxReport", "export_onnx"]

#: The most points of its metric that a task may lose on labelled rows.
MOST_LOST = 1.0
#: The least share of decisions that an int8 graph must share with torch, for each task.
LEAST_AGREEMENT = 0.8


@dataclass(frozen=True)
class OnnxReport:
    """What an export of a graph wrote, to ONNX or TensorFlow, and how it compares with the model.

    Args:
        tasks: For each task its largest difference and its equal decisions.
        rows: Texts that were compared.
        made_up: Whether they were random tokens, none having been given.
        megabytes: Size of the graphs, in 10^6 bytes.
        precision: ``"float32"`` or ``"int8"``.
        scores: For each task its metric by model and graph, where labelled rows were given.
        pictures: Pictures of random pixels that were compared.
    """

    tasks: dict[str, Agreement]
    rows: int
    made_up: bool
    megabytes: float
    precision: str
    scores: dict[str, TaskScores] = field(default_factory=dict)
    pictures: int = 0


def export_onnx(
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase | None,
    folder: str | Path,
    *,
    tasks: Sequence[str] | None = None,
    quantize: Literal["int8"] | None = None,
    texts: Sequence[Row] | None = None,
    least_agreement: float = LEAST_AGREEMENT,
    check: Mapping[str, Dataset] | None = None,
    most_lost: float = MOST_LOST,
    overwrite: bool = False,
    image_processor: Any = None,
) -> OnnxReport:
    """Write a graph with one output a task, for any number of rows and any length, and all that is needed to use it.

    Tasks of pictures are a second graph in the same folder, for pictures as the image processor makes them. Each is
    compared with torch before the folder appears. It computes in float32 whatever the model's precision.

    Args:
        model: The model.
        tokenizer: Its tokenizer, a fast one; for tasks of pictures alone it may be ``None``.
        folder: Where to write; it must not exist, or be empty.
        tasks: Names of the tasks; ``None`` is all.
        quantize: ``"int8"`` stores weights in 8 bits: a quarter of the size, and faster on CPUs.
        texts: Texts to compare model and graph on; ``None`` makes up random ones, which decide less clearly.
        least_agreement: The least share of decisions that an int8 graph must share with torch, for each task.
        check: Datasets whose columns are named after inputs and tasks, such as those of a recipe's validation split:
            each task is scored on them by its main metric, by model and graph. They must label every task.
        most_lost: The most hundredths of its metric that a task may lose there.
        overwrite: Whether an earlier export there is replaced.
        image_processor: The image processor, for tasks of pictures.

    Returns:
        What was written, and the differences.

    Raises:
        ValueError: If a task is unknown, the folder is taken, or the graph is further from torch than it may be.
        ImportError: If the extra is not installed.
    """
    needed("onnx", "onnxscript", "onnxruntime")
    if quantize not in (None, "int8"):
        raise UserError(f"quantize must be 'int8' or None, found {quantize!r}.")
    refuse_adapters(model, "export_onnx")
    check_finite(model.state_dict().items(), "The model cannot be exported")
    names = list(model.task_heads) if tasks is None else list(dict.fromkeys(tasks))
    chosen = [model.config.task(name) for name in names]
    if not chosen:
        raise UserError(f"No task to export. Tasks of this model: {listed(model.task_heads)}.")
    for name in names:
        _description(model.task_heads[name])
    heads = {name: model.task_heads[name] for name in names}
    check_processors(tokenizer, image_processor, chosen, {name: type(head) for name, head in heads.items()})
    of_pictures = [name for name, head in heads.items() if head.modality() == "image"]
    of_texts = [name for name in names if name not in of_pictures]
    if quantize and of_pictures:
        raise UserError(
            f"Task {of_pictures[0]!r}: quantize={quantize!r} is for tasks of texts. Leave it out for pictures."
        )
    expected = {}
    if check is not None:
        was_training = model.training
        try:
            answerer = make_answerer(model, tokenizer, tasks=names, image_processor=image_processor)
            expected = score_all(answerer, heads, check)
        finally:
            model.train(was_training)
    precision = quantize or "float32"
    facts: dict[str, Any] = {"inputs": [], "max_length": 0, "pad_token_id": 0}
    batches: list[Any] = []
    pictures: list[Any] = []
    with written_whole(folder, overwrite) as unfinished:
        found: dict[str, Agreement] = {}
        if of_texts:
            assert tokenizer is not None, "it was checked above"
            collator = MultiTaskCollator(tokenizer, [], {}, longest_input(tokenizer, model.config.encoder_config))
            inputs = [*collator.encode([Row("export", 0, "a")])[0]]
            session, traced = _graph(model, of_texts, inputs, unfinished / "model.onnx", quantize)
            facts = {
                "inputs": [node.name for node in session.get_inputs()],
                "max_length": collator.max_length,
                "pad_token_id": collator.pad_token_id,
                "pad_token_type_id": int(tokenizer.pad_token_type_id),
                "unk_token_id": _id(tokenizer.unk_token_id),
                "truncation_side": tokenizer.truncation_side,
                "vocabulary": vocabulary_digest(tokenizer.backend_tokenizer),
            }
            batches = batches_of(collator, texts, inputs, model.config.get_text_config().vocab_size)
            found |= compare(traced, session, [_description(heads[name]) for name in of_texts], batches)
            tokenizer.save_pretrained(unfinished)
        if of_pictures:
            pixels, shape = describe_pixels(image_processor)
            file = unfinished / "pictures.onnx"
            session, traced = _graph(model, of_pictures, ["pixel_values"], file, None, shape)
            facts |= {"picture_model": file.name, "pixels": pixels}
            pictures = made_up_pictures(shape)
            found |= compare(traced, session, [_description(heads[name]) for name in of_pictures], pictures)
            image_processor.save_pretrained(unfinished)
        _judge(found, precision, least_agreement)
        described = [_description(heads[name]) for name in names]
        description = GraphDescription(precision=precision, tasks=described, **facts)
        write_text_whole(unfinished / "tasks.json", description.to_json())
        scores: dict[str, TaskScores] = {}
        if check is not None:
            scores = compare_scores(expected, OnnxPredictor(unfinished).answerer(), heads, check)
            check_scores(scores, most_lost)
        write_text_whole(unfinished / "README.md", onnx_card(chosen, precision, scores))
        size = sum(path.stat().st_size for path in unfinished.glob("*.onnx*"))
    rows = sum(len(batch["input_ids"]) for batch in batches)
    count = sum(len(batch["pixel_values"]) for batch in pictures)
    in_order = {name: found[name] for name in names}
    return OnnxReport(in_order, rows, texts is None, size / 1e6, precision, scores, count)


def _graph(
    model: MultiTaskModel,
    names: Sequence[str],
    inputs: Sequence[str],
    file: Path,
    quantize: str | None,
    pixels: tuple[int, int, int] | None = None,
) -> tuple[Any, TracedModel]:
    """Write the graph of some tasks; return a session of it, and the model that it was made of."""
    from onnxruntime import InferenceSession

    traced = TracedModel(model, names, inputs, pixels)
    write_graph(traced, file)
    if quantize:
        exact = file.rename(file.with_name("exact.onnx"))
        quantize_int8(exact, file)
        for path in file.parent.glob("exact.onnx*"):
            path.unlink()
    return InferenceSession(file, providers=["CPUExecutionProvider"]), traced


def _id(value: Any) -> int | None:
    return None if value is None else int(value)


def _description(head: Head) -> TaskDescription:
    """Return how the logits of a head become answers where there is no head.

    Raises:
        ValueError: If they do not without it.
    """
    name, task_type = head.task.name, head.task.type
    if head.beyond_graphs is not None:
        alone = f", and this one as a stock model: hf-mtl export MODEL OUT --to transformers --task {name}"
        raise UserError(
            f"Task {name!r}: tasks of the type {task_type!r} have no form in ONNX here: {head.beyond_graphs}. Export "
            f"the other tasks{alone if head.has_stock_form else ''}."
        )
    if head.answering() is not type(head):
        raise UserError(
            f"Task {name!r}: answers of the type {task_type!r} need weights that turn logits into answers, and a graph "
            "gives logits alone. Export the other tasks, or train this one with another type, such as "
            "'token-classification' for tags."
        )
    description = type(head).described(head.task)
    has_own = type(head).answers.__func__ is not Head.answers.__func__
    if description is None or has_own:
        raise UserError(
            f"Task {name!r}: {type(head).__name__} makes its answers by custom code, which is missing where a "
            "graph is used. Export the other tasks, or let its method describe() say which of the kinds of answers in "
            f"hf_mtl_light they are: {listed(KINDS)}."
        )
    return description


def _judge(found: dict[str, Agreement], precision: str, least_agreement: float) -> None:
    for name, agreement in found.items():
        if precision == "float32" and not agreement.difference <= agreement.bound:
            raise UserError(
                f"Task {name!r}: the graph's logits differ from torch's by {agreement.difference:.2g}, more than "
                f"{agreement.bound:.2g}, so it is not written. Please report the encoder's family and the versions of "
                "torch and onnxruntime."
            )
        if precision == "int8" and agreement.share < least_agreement:
            raise UserError(
                f"Task {name!r}: the int8 graph decides {agreement.share:.1%} as torch does, less than "
                f"{least_agreement:.1%}, so it is not written. Compare on texts of the task's own kind, accept less, "
                "or leave quantize out."
            )
