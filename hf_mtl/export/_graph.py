"""A model traced to one ONNX graph: all tasks, any number of rows, any length."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from hf_mtl.model import MultiTaskModel, TaskModules
from hf_mtl_light.errors import MissingExtraError, UserError

__all__ = ["TracedModel", "needed", "quiet_exporters", "write_graph"]

#: The first with GELU as one operator. With 23, whose Attention saves a third of the nodes and a tenth of the time of a
#: single short text, torch (2.13) writes rotary positions that onnxruntime (1.31) refuses for more than one row.
_OPSET = 20


def needed(*modules: str) -> None:
    """Check that what the export needs is installed.

    Raises:
        ImportError: If not; the message names the command that installs it.
    """
    try:
        for name in modules:
            import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"Exporting to ONNX needs {error.name}: pip install 'hf-mtl[onnx]'") from error


class TracedModel(nn.Module):
    """A model as a graph is made of it: tensors in, one tensor of logits a task out; on the CPU, in float32, padded.

    Args:
        model: The model, which is copied.
        tasks: Names of the tasks.
        inputs: Names of the inputs.
        pixels: Channels, height and width of a picture, where the tasks read pictures.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        tasks: Sequence[str],
        inputs: Sequence[str],
        pixels: tuple[int, int, int] | None = None,
    ) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        # accelerate wraps the forward of a model in training, to compute in 16 bits; what it wraps is the original's.
        vars(self.model).pop("forward", None)
        nn.Module.to(self.model, "cpu", torch.float32)  # Transformers' own, wrapped, hides its types
        self.pixels = pixels
        # Eager attention is a third of the nodes that torch makes of SDPA, and onnxruntime fuses them.
        self.encoder.set_attn_implementation("eager")
        self.model.unpad = False
        self.tasks, self.inputs = list(tasks), list(inputs)
        # torch writes code with the names of modules in it, which any name of a task would break.
        plain = {task.name: f"task_{number}" for number, task in enumerate(model.tasks)}
        self._plain = [plain[name] for name in self.tasks]
        self.model.heads = TaskModules({plain[name]: head for name, head in self.model.heads.items()})
        self.model.config.tasks = [
            replace(task, name=plain[task.name], tied_to=plain.get(task.tied_to or "")) for task in model.tasks
        ]

    @property
    def encoder(self) -> PreTrainedModel:
        """Return the encoder that the graph holds: as an attribute torch would know its modules by two names."""
        encoder: PreTrainedModel = self.model.encoders["text" if self.pixels is None else "image"]
        return encoder

    def example(self) -> tuple[tuple[torch.Tensor, ...], dict[int, str]]:
        """Return inputs to trace with, and their axes of any size."""
        if self.pixels is not None:
            return (torch.ones(2, *self.pixels),), {0: "batch"}
        # Sizes that nothing else has: an example of equal ones would tie them together.
        return tuple(torch.ones(2, 7, dtype=torch.long) for _ in self.inputs), {0: "batch", 1: "length"}

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return each task's logits: [B, C], or [B, L, C]."""
        inputs: dict[str, Any] = dict(zip(self.inputs, tensors, strict=True))
        logits = self.model(**inputs, tasks=self._plain).logits
        return tuple(logits[task] for task in self._plain)


def write_graph(traced: TracedModel, file: Path) -> None:
    """Trace a model and write its graph.

    Args:
        traced: The model.
        file: Where to write; weights of more than 2 GB go into a file beside it.

    Raises:
        ValueError: If torch cannot make a graph of the model.
    """
    with quiet_exporters():
        program = _program(traced)
        # How each node came about: lines of source with the folders of this machine, most of a small graph's size.
        program.model.graph.metadata_props.clear()
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()
        _rename_like_outputs(program.model.graph)
        program.save(str(file))


def _rename_like_outputs(graph: Any) -> None:
    """Give values within a graph that have the name of one of its outputs, which are named after tasks, another."""
    outputs = {value.name for value in graph.outputs}
    within = [value for node in graph.all_nodes() for value in node.outputs if not value.is_graph_output()]
    within += graph.initializers.values()
    taken = {*outputs, *(value.name for value in within), *(value.name for value in graph.inputs)}
    for value in within:
        if value.name in outputs:
            number = next(n for n in range(len(taken) + 1) if f"{value.name}_{n}" not in taken)
            value.name = f"{value.name}_{number}"
            taken.add(value.name)


def _program(traced: TracedModel) -> torch.onnx.ONNXProgram:
    example, axes = traced.example()
    try:
        program = torch.onnx.export(
            traced,
            example,
            dynamo=True,
            opset_version=_OPSET,
            input_names=traced.inputs,
            output_names=traced.tasks,
            # One argument, a tuple: that is how forward takes its tensors.
            dynamic_shapes=(tuple(axes for _ in traced.inputs),),
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as failure:
        family = traced.encoder.config.model_type
        why = str(failure).strip().partition("## Exception summary")
        reason = next(line for line in (why[2] or why[0]).splitlines() if line.strip())
        raise UserError(
            f"torch {torch.__version__} makes no ONNX graph of an encoder of the family {family!r} ({reason}). Export "
            "its tasks as stock models (--to transformers), or try another version of torch."
        ) from failure
    assert program is not None  # None is for the exporter that dynamo=True replaces
    return program


@contextmanager
def quiet_exporters() -> Iterator[None]:
    """Silence what torch and onnxruntime log on every export: missing torchvision, axis names, preprocessing."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
