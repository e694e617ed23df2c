# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-mtl[onnx]"]
# ///
"""Export a trained model to one ONNX graph, answer with it, and compare: what production needs is hf-mtl-light alone.

    python examples/production_with_onnx.py MODEL OUTPUT

MODEL is a run folder or a Hub id, such as runs/demo after ``make demo``. Afterwards, where torch is not installed:

    pip install 'hf-mtl-light[onnx]'
    hf-mtl-light predict OUTPUT "Play a good song in Rome!"
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from transformers import AutoTokenizer

from hf_mtl import MultiTaskModel, MultiTaskPipeline, OnnxPredictor
from hf_mtl.export import export_onnx

TEXTS = ["Play a good song in Rome!", "Not a very good book.", "Book a table for Anna."] * 8


def main(model: str, output: str) -> None:
    """Export, answer, compare."""
    loaded, tokenizer = MultiTaskModel.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    report = export_onnx(loaded, tokenizer, output)
    for name, found in report.tasks.items():
        print(f"{name}: logits differ by {found.difference:.1e} at most, {found.share:.0%} of the decisions agree")
    predictor, pipe = OnnxPredictor(output), MultiTaskPipeline(loaded, tokenizer)
    print(json.dumps(predictor(TEXTS[0]), indent=2))
    print(f"torch {_seconds(pipe, TEXTS):.3f} s, ONNX {_seconds(predictor, TEXTS):.3f} s for {len(TEXTS)} texts")


def _seconds(answer: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> float:
    answer(texts[:2])
    start = time.perf_counter()
    answer(texts)
    return time.perf_counter() - start


if __name__ == "__main__":
    main(*sys.argv[1:])
