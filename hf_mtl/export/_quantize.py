"""Weights in 8 bits."""

from __future__ import annotations

from pathlib import Path

from hf_mtl.export._graph import quiet_exporters

__all__ = ["quantize_int8"]

#: Matrix products and embeddings hold nearly all weights.
_OPERATORS = ["MatMul", "Gemm", "Gather"]


def quantize_int8(source: Path, target: Path) -> None:
    """Write a graph with weights in 8 bits; activations are scaled and rounded as they come.

    Each output channel has its own scale, and weights keep to 7 bits: CPUs without VNNI add pairs of products in
    16 bits, which 8 would overflow.

    Args:
        source: The graph in float32.
        target: Where to write.
    """
    import onnx
    from onnxruntime.quantization import quantize_dynamic

    model = onnx.load(source)
    # Shapes that torch wrote contradict those that onnxruntime infers once more (ShapeInferenceError).
    del model.graph.value_info[:]
    with quiet_exporters():
        quantize_dynamic(model, target, op_types_to_quantize=_OPERATORS, per_channel=True, reduce_range=True)
