"""All tasks as one SavedModel of TensorFlow, in a folder that needs neither torch nor onnxruntime."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from hf_mtl.data import MultiTaskCollator, Row
from hf_mtl.export._card import tensorflow_card
from hf_mtl.export._check import batches_of, compare
from hf_mtl.export._folder import check_folder, written_whole
from hf_mtl.export._graph import TracedModel
from hf_mtl.export._onnx import OnnxReport, export_onnx
from hf_mtl.model import MultiTaskModel
from hf_mtl_light.description import GraphDescription
from hf_mtl_light.errors import MissingExtraError, UserError
from hf_mtl_light.outputs import write_text_whole

__all__ = ["export_tensorflow"]

_SCRIPT = Path(__file__).parent / "_saved_model" / "convert.py"


def export_tensorflow(
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: str | Path,
    *,
    tasks: Sequence[str] | None = None,
    texts: Sequence[Row] | None = None,
    python: str | Path | None = None,
    overwrite: bool = False,
) -> OnnxReport:
    """Write a SavedModel whose signature ``serving_default`` answers all tasks, for any number of rows and any length.

    It is made of the ONNX graph, opened by TensorFlow alone and compared with torch before the folder appears. Beside
    it lie the tokenizer and ``tasks.json``, as in a folder of `export_onnx`.

    Args:
        model: The model.
        tokenizer: Its tokenizer, a fast one.
        folder: Where to write; it must not exist, or be empty.
        tasks: Names of the tasks, which must read texts; ``None`` is all.
        texts: Texts to compare with torch on; ``None`` makes up random ones.
        python: The Python of an environment with ``tensorflow`` and ``onnx``; ``None`` is this one.
        overwrite: Whether an earlier export there is replaced.

    Returns:
        What was written, and the differences.

    Raises:
        ValueError: If a task is unknown or reads pictures, the folder is taken, the graph has an operator that is not
            translated, or an answer is further from torch than it may be.
        ImportError: If TensorFlow or onnx is missing.
    """
    check_folder(folder, overwrite)
    names = list(model.task_heads) if tasks is None else list(dict.fromkeys(tasks))
    for name in names:
        model.config.task(name)
        if "image" in model.task_heads[name].modalities():
            raise UserError(
                f"Task {name!r} reads pictures, and only tasks of texts are exported to TensorFlow. Choose those, or "
                "export to ONNX."
            )
    program = str(python or sys.executable)
    _check_environment(program)
    with written_whole(folder, overwrite) as unfinished:
        graph = unfinished / "graph"
        exported = export_onnx(model, tokenizer, graph, tasks=names, texts=texts)
        _run(program, "write", graph / "model.onnx", unfinished)
        described = GraphDescription.read(graph)
        collator = MultiTaskCollator(tokenizer, [], {}, described.max_length)
        batches = batches_of(collator, texts, described.inputs, model.config.get_text_config().vocab_size)
        answers = _answers(program, unfinished, batches)
        found = compare(TracedModel(model, names, described.inputs), answers, described.tasks, batches)
        for name, agreement in found.items():
            if not agreement.difference <= agreement.bound:
                raise UserError(
                    f"Task {name!r}: TensorFlow's logits differ from torch's by {agreement.difference:.2g}, more than "
                    f"{agreement.bound:.2g}, so nothing is written. Please report the encoder's family and the "
                    "versions of torch and TensorFlow; export to ONNX until then."
                )
        for path in graph.iterdir():
            if path.name not in ("tasks.json", "README.md") and not path.name.startswith("model.onnx"):
                path.rename(unfinished / path.name)
            else:
                path.unlink()
        graph.rmdir()
        write_text_whole(unfinished / "tasks.json", replace(described, model="saved_model.pb").to_json())
        write_text_whole(unfinished / "README.md", tensorflow_card([model.config.task(name) for name in names]))
        size = sum(path.stat().st_size for path in (unfinished / "variables").iterdir())
        size += (unfinished / "saved_model.pb").stat().st_size
    return replace(exported, tasks=found, megabytes=size / 1e6)


def _check_environment(program: str) -> None:
    """Check that a Python has what is needed.

    Raises:
        ImportError: If not; the message names the commands that make an environment.
    """
    code = "import importlib.util as u; print([n for n in ('tensorflow', 'onnx') if u.find_spec(n) is None])"
    try:
        done = subprocess.run([program, "-E", "-c", code], capture_output=True, text=True, check=False)
    except OSError as error:
        raise UserError(f"{program!r} is no Python that can be run: {error.strerror}.") from error
    if done.returncode or (lacking := json.loads((done.stdout or "[]").replace("'", '"'))):
        what = " and ".join(lacking) if not done.returncode else f"a Python, and {program!r} is none"
        raise MissingExtraError(
            f"Exporting to TensorFlow needs {what}. Make a separate environment (python -m venv tf; tf/bin/pip "
            "install tensorflow-cpu onnx), and name its Python: --tensorflow-python tf/bin/python."
        )


def _run(program: str, *arguments: str | Path) -> None:
    """Run the script of the other environment.

    Raises:
        ValueError: If it fails.
    """
    command = [program, "-E", str(_SCRIPT), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or [f"it ended with {done.returncode}"]
        raise UserError(
            f"TensorFlow could not {arguments[0]} the model ({said[-1].strip()}). Export it to ONNX instead."
        )


def _answers(program: str, folder: Path, batches: Sequence[Mapping[str, Any]]) -> Any:
    """Return what TensorFlow answers, in the form of a session of onnxruntime: its next run is the next batch."""
    given, found = folder / "inputs.npz", folder / "answers.npz"
    np.savez(given, **{f"{n}/{key}": value.numpy() for n, batch in enumerate(batches) for key, value in batch.items()})
    _run(program, "answer", folder, given, found)
    with np.load(found) as arrays:
        logits = dict(arrays)
    given.unlink()
    found.unlink()
    numbers = iter(range(len(batches)))

    def run(names: Sequence[str], inputs: Mapping[str, Any]) -> list[Any]:
        number = next(numbers)
        return [logits[f"{number}/{name}"] for name in names]

    return SimpleNamespace(get_inputs=lambda: [SimpleNamespace(name=name) for name in batches[0]], run=run)
