"""All tasks as one ONNX graph, in a folder that needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from hf_mtl._names import listed
from hf_mtl.data import MultiTaskCollator, Row, longest_input
from hf_mtl.encoder import check_finite
from hf_mtl.export._card import onnx_card
from hf_mtl.export._check import Agreement, compare, made_up_batches
from hf_mtl.export._folder import written_whole
from hf_mtl.export._graph import TracedModel, needed, write_graph
from hf_mtl.export._quantize import quantize_int8
from hf_mtl.export._scores import TaskScores, check_scores, compare_scores
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

#: The most that a float32 graph's logits may differ from torch's, where they lie in [-1, 1]; else in proportion.
FLOAT_BOUND = 1e-4
#: The most points of its metric that a task may lose on labelled rows.
MOST_LOST = 1.0
#: The least share of decisions that an int8 graph must share with torch, for each task.
LEAST_AGREEMENT = 0.8


@dataclass(frozen=True)
class OnnxReport:
    """What an export to ONNX wrote, and how it compares with the model.

    Args:
        tasks: For each task its largest difference and its equal decisions.
        rows: Texts that were compared.
        made_up: Whether they were random tokens, none having been given.
        megabytes: Size of the graph, in 10^6 bytes.
        precision: ``"float32"`` or ``"int8"``.
        scores: For each task its metric by model and graph, where labelled rows were given.
    """

    tasks: dict[str, Agreement]
    rows: int
    made_up: bool
    megabytes: float
    precision: str
    scores: dict[str, TaskScores] = field(default_factory=dict)


def export_onnx(
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: str | Path,
    *,
    tasks: Sequence[str] | None = None,
    quantize: Literal["int8"] | None = None,
    texts: Sequence[Row] | None = None,
    least_agreement: float = LEAST_AGREEMENT,
    check: Mapping[str, Dataset] | None = None,
    most_lost: float = MOST_LOST,
    overwrite: bool = False,
) -> OnnxReport:
    """Write a graph with one output a task, for any number of rows and any length, and all that is needed to use it.

    The graph is compared with torch before the folder appears. It computes in float32 whatever the model's precision.

    Args:
        model: The model.
        tokenizer: Its tokenizer, a fast one.
        folder: Where to write; it must not exist, or be empty.
        tasks: Names of the tasks; ``None`` is all.
        quantize: ``"int8"`` stores weights in 8 bits: a quarter of the size, and faster on CPUs.
        texts: Texts to compare model and graph on; ``None`` makes up random ones, which decide less clearly.
        least_agreement: The least share of decisions that an int8 graph must share with torch, for each task.
        check: Datasets whose columns are named after inputs and tasks, such as those of a recipe's validation split:
            each task is scored on them by its main metric, by model and graph. They must label every task.
        most_lost: The most hundredths of its metric that a task may lose there.
        overwrite: Whether an earlier export there is replaced.

    Returns:
        What was written, and the differences.

    Raises:
        ValueError: If a task is unknown, the folder is taken, or the graph is further from torch than it may be.
        ImportError: If the extra is not installed.
    """
    needed("onnx", "onnxscript", "onnxruntime")
    from onnxruntime import InferenceSession

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
    longest = longest_input(tokenizer, model.config.encoder_config)
    collator = MultiTaskCollator(tokenizer, [], {}, longest)
    inputs = [*collator.encode([Row("export", 0, "a")])[0]]
    with written_whole(folder, overwrite) as unfinished:
        traced = TracedModel(model, names, inputs)
        file = unfinished / "model.onnx"
        write_graph(traced, file)
        if quantize:
            exact = file.rename(unfinished / "exact.onnx")
            quantize_int8(exact, file)
            for path in unfinished.glob("exact.onnx*"):
                path.unlink()
        session = InferenceSession(file, providers=["CPUExecutionProvider"])
        precision = quantize or "float32"
        description = GraphDescription(
            inputs=[node.name for node in session.get_inputs()],
            max_length=longest,
            pad_token_id=collator.pad_token_id,
            pad_token_type_id=int(tokenizer.pad_token_type_id),
            unk_token_id=_id(tokenizer.unk_token_id),
            truncation_side=tokenizer.truncation_side,
            precision=precision,
            vocabulary=vocabulary_digest(tokenizer.backend_tokenizer),
            tasks=[_description(model.task_heads[name]) for name in names],
        )
        batches = _batches(collator, texts, inputs, model.config.get_text_config().vocab_size)
        found = compare(traced, session, description.tasks, batches)
        _judge(found, precision, least_agreement)
        tokenizer.save_pretrained(unfinished)
        write_text_whole(unfinished / "tasks.json", description.to_json())
        scores: dict[str, TaskScores] = {}
        if check is not None:
            torch_answers = make_answerer(model, tokenizer, tasks=names)
            heads = {name: model.task_heads[name] for name in names}
            scores = compare_scores(torch_answers, OnnxPredictor(unfinished).answerer(), heads, check)
            check_scores(scores, most_lost)
        write_text_whole(unfinished / "README.md", onnx_card(chosen, precision, scores))
        size = sum(path.stat().st_size for path in unfinished.glob("model.onnx*"))
    rows = sum(len(batch["input_ids"]) for batch in batches)
    return OnnxReport(found, rows, texts is None, size / 1e6, precision, scores)


def _id(value: Any) -> int | None:
    return None if value is None else int(value)


def _batches(
    collator: MultiTaskCollator, texts: Sequence[Row] | None, inputs: Sequence[str], vocabulary: int
) -> list[dict[str, torch.Tensor]]:
    if texts is None:
        return made_up_batches(inputs, vocabulary, collator.max_length, collator.tokenizer.all_special_ids)
    return [collator.encode(texts[start : start + 32])[0] for start in range(0, len(texts), 32)]


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
        bound = FLOAT_BOUND * max(1.0, agreement.largest)
        if precision == "float32" and not agreement.difference <= bound:
            raise UserError(
                f"Task {name!r}: the graph's logits differ from torch's by {agreement.difference:.2g}, more than "
                f"{bound:.2g}, so it is not written. Please report the encoder's family and the versions of torch and "
                "onnxruntime."
            )
        if precision == "int8" and agreement.share < least_agreement:
            raise UserError(
                f"Task {name!r}: the int8 graph decides {agreement.share:.1%} as torch does, less than "
                f"{least_agreement:.1%}, so it is not written. Compare on texts of the task's own kind, accept less, "
                "or leave quantize out."
            )
