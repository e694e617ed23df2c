"""Weights in 8 bits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["quantize_int8"]

#: The greatest level of a weight. CPUs without VNNI add pairs of products in 16 bits: at most 2 x 255 x 64 = 32,640.
_WEIGHT_LEVEL = 64
#: The greatest level of an embedding.
_LEVEL = 127
#: The level of zero, of 255, and the least that a token is divided by; for what comes from any operator, and for what
#: comes from one that gives few negative numbers, or none: GELU is at least -0.17.
_ANY = 128, 1e-30
_MOSTLY_POSITIVE = {"Gelu": (36, 0.17 * (255 - 36) / 36), "Relu": (0, 1e-30)}


def quantize_int8(source: Path, target: Path) -> None:
    """Write a graph whose products of tokens are those of 8-bit numbers, and whose embeddings have 8 bits.

    Of a product x W, x [B, L, K], each token is divided by its greatest activation a [B, L, 1], each output channel by
    a scale s [C]: ``a * s / 127 * (round(127 x / a) @ round(W / s))``. So an outlier costs its own token alone
    precision, and answers do not depend on the texts that share a batch. After GELU and ReLU, which give few negative
    numbers, 127 is up to 255. Each embedding has its own scale, too. Products of one vector a text, those of poolers
    and classifiers, stay in float32: they take no time.

    Args:
        source: The graph in float32.
        target: Where to write.
    """
    import onnx

    model = onnx.load(source)
    _Quantizer(model.graph).run()
    onnx.save(model, target)


class _Quantizer:
    """Replaces the products and embeddings of a graph.

    Args:
        graph: The graph, which is changed.
    """

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        #: Transposed constants, which torch leaves in the graph where they are large.
        self.transposed = {
            node.output[0]: node.input[0]
            for node in graph.node
            if node.op_type == "Transpose" and node.input[0] in self.constants
        }
        self.operators = {name: node.op_type for node in graph.node for name in node.output}
        self.nodes: list[Any] = []
        self.levels: dict[str, tuple[str, str]] = {}
        names = (*self.constants, *(name for node in graph.node for name in (*node.input, *node.output)))
        taken = {*names, *(value.name for value in (*graph.input, *graph.output))}
        self.names = (name for number in count() if (name := f"int8_{number}") not in taken)

    def run(self) -> None:
        """Replace them."""
        tables = self._tables()
        for node in self.graph.node:
            if node.op_type == "MatMul" and (weight := self._weight(node.input[1])) is not None:
                self._multiply(node.input[0], weight, node.output[0])
            elif node.op_type == "Gather" and node.input[0] in tables:
                self._look_up(tables[node.input[0]], node.input[1], node.output[0])
            else:
                self.nodes.append(node)
        outputs = {value.name for value in self.graph.output}
        read = outputs | _read_by(self.nodes)
        kept = [node for node in self.nodes if read.intersection(node.output)]
        read = _read_by(kept)
        constants = [tensor for name, tensor in self.constants.items() if name in read]
        for old, new in ((self.graph.node, kept), (self.graph.initializer, constants)):
            del old[:]
            old.extend(new)

    def _weight(self, name: str) -> np.ndarray | None:
        """Return a weight [K, C]; ``None`` where it is computed or no matrix."""
        weight = self._matrix(self.transposed.get(name, name))
        return weight.T if weight is not None and name in self.transposed else weight

    def _matrix(self, name: str) -> np.ndarray | None:
        from onnx import TensorProto, numpy_helper

        tensor = self.constants.get(name)
        if tensor is None or tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != 2:
            return None
        matrix: np.ndarray = numpy_helper.to_array(tensor)
        return matrix

    def _tables(self) -> dict[str, tuple[str, str]]:
        """Return the names of levels [V, H] and scales [V, 1] of embeddings, which are read row by row alone."""
        uses = Counter(name for node in self.graph.node for name in node.input)
        by_row = Counter(
            node.input[0]
            for node in self.graph.node
            if node.op_type == "Gather" and not any(item.name == "axis" and item.i for item in node.attribute)
        )
        found = {}
        for name, number in by_row.items():
            table = self._matrix(name)
            if table is not None and uses[name] == number:
                scale = _scales(table, 1, _LEVEL)
                found[name] = self._constant(np.round(table / scale).astype(np.int8)), self._constant(scale)
        return found

    def _look_up(self, table: tuple[str, str], ids: str, output: str) -> None:
        from onnx import TensorProto

        levels, scales = (self._add("Gather", [name, ids]) for name in table)
        self._add("Mul", [self._add("Cast", [levels], to=TensorProto.FLOAT), scales], output)

    def _multiply(self, activations: str, weight: np.ndarray, output: str) -> None:
        scale = _scales(weight, 0, _WEIGHT_LEVEL)
        levels = self._constant(np.round(weight / scale).astype(np.int8))
        zero = self._constant(np.zeros(weight.shape[1], np.int8))
        whole = self._add("DequantizeLinear", [levels, self._constant(scale[0]), zero], axis=1)
        rounded, greatest = self._rounded(activations)
        self._add("Mul", [self._add("MatMul", [rounded, whole]), greatest], output)

    def _rounded(self, activations: str) -> tuple[str, str]:
        """Return activations that are divided by the greatest of their token and rounded, and these."""
        if activations not in self.levels:
            operator = self.operators.get(activations, "")
            zero, least = _MOSTLY_POSITIVE.get(operator, _ANY)
            sizes = activations if operator in _MOSTLY_POSITIVE else self._add("Abs", [activations])
            greatest = self._add("ReduceMax", [sizes, self._constant(np.array([-1], np.int64))], keepdims=1)
            greatest = self._add("Max", [greatest, self._constant(np.array(least, np.float32))])
            how = self._constant(np.array(1 / (255 - zero), np.float32)), self._constant(np.array(zero, np.uint8))
            levels = self._add("QuantizeLinear", [self._add("Div", [activations, greatest]), *how])
            self.levels[activations] = self._add("DequantizeLinear", [levels, *how]), greatest
        return self.levels[activations]

    def _constant(self, values: np.ndarray) -> str:
        from onnx import numpy_helper

        name = next(self.names)
        self.constants[name] = numpy_helper.from_array(values, name)
        return name

    def _add(self, operator: str, inputs: Sequence[str], output: str | None = None, **attributes: int) -> str:
        from onnx import helper

        output = output or next(self.names)
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output


def _read_by(nodes: Sequence[Any]) -> set[str]:
    return {name for node in nodes for name in node.input}


def _scales(matrix: np.ndarray, axis: int, level: int) -> np.ndarray:
    """Return what the greatest of each row or column is divided by to be a level; 1 where all are zero."""
    greatest = np.abs(matrix).max(axis, keepdims=True)
    scales: np.ndarray = np.where(greatest == 0, 1, greatest / level).astype(np.float32)
    return scales
