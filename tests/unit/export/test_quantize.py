"""Graphs in 8 bits: the formula that they say they compute, for tokens that do not disturb one another."""

import numpy as np
import pytest

from hf_mtl.export._quantize import quantize_int8

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
runtime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")

GENERATOR = np.random.default_rng(0)
TABLE = GENERATOR.normal(size=(50, 32)).astype(np.float32)
TABLE[7] = 0.0
#: One embedding is a hundred times as long as the others.
TABLE[3] *= 100.0
WEIGHT = GENERATOR.normal(size=(32, 24)).astype(np.float32)
WEIGHT[:, 5] = 0.0
SQUARE = GENERATOR.normal(size=(24, 24)).astype(np.float32)
IDS = np.array([[1, 7, 3, 4], [9, 9, 11, 49]])


def graph_of(folder, nodes, outputs, **constants):
    """Write a graph of token ids [rows, tokens]."""
    made = onnx.helper.make_graph(
        [onnx.helper.make_node(*node) for node in nodes],
        "graph",
        [onnx.helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["rows", "tokens"])],
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, folder / "exact.onnx")
    return folder / "exact.onnx"


def answers(file, ids):
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(None, {"ids": ids})


def embedded(ids):
    scale = np.abs(TABLE).max(1, keepdims=True) / 127
    return (np.round(TABLE / np.where(scale == 0, 1, scale)) * scale)[ids]


def product(states, weight):
    greatest = np.abs(states).max(-1, keepdims=True)
    scale = np.abs(weight).max(0) / 64
    levels = np.round(127 * states / np.where(greatest == 0, 1, greatest))
    return levels @ np.round(weight / np.where(scale == 0, 1, scale)) * scale * greatest / 127


@pytest.fixture
def files(tmp_path):
    nodes = [
        ("Gather", ["table", "ids"], ["states"]),
        ("MatMul", ["states", "weight"], ["int8_0"]),
        ("Transpose", ["square"], ["turned"]),  # as torch leaves large weights
        ("MatMul", ["int8_0", "turned"], ["last"]),
    ]
    file = graph_of(tmp_path, nodes, ["states", "int8_0", "last"], table=TABLE, weight=WEIGHT, square=SQUARE)
    quantize_int8(file, tmp_path / "int8.onnx")
    return file, tmp_path / "int8.onnx"


def test_products_and_embeddings_are_those_of_the_formula(files):
    states, between, last = answers(files[1], IDS)
    np.testing.assert_allclose(states, embedded(IDS), rtol=1e-6)
    np.testing.assert_allclose(between, product(states, WEIGHT), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(last, product(between, SQUARE.T), rtol=1e-4, atol=1e-3)
    assert not states[0, 1].any()
    assert not last[0, 1].any()


@pytest.mark.parametrize(("operator", "zero", "least"), [("Gelu", 36, 0.17 * 219 / 36), ("Relu", 0, 0.0)])
def test_what_is_mostly_positive_has_more_levels(operator, zero, least, tmp_path):
    nodes = [("Gather", ["table", "ids"], ["states"]), (operator, ["states"], ["active"])]
    nodes.append(("MatMul", ["active", "weight"], ["last"]))
    small = np.concatenate([TABLE[:40], TABLE[40:] / 20])  # all of whose activations are small
    file = graph_of(tmp_path, nodes, ["active", "last"], table=small, weight=WEIGHT)
    quantize_int8(file, tmp_path / "int8.onnx")
    active, last = answers(tmp_path / "int8.onnx", IDS)
    greatest = np.maximum(active.max(-1, keepdims=True), least)
    ratio = np.divide(active, greatest, out=np.zeros_like(active), where=greatest > 0)
    levels = np.round(ratio / np.float32(1 / (255 - zero)))  # as QuantizeLinear divides
    assert -zero <= levels.min()
    assert levels.max() <= 255 - zero
    scale = np.abs(WEIGHT).max(0) / 64
    rounded = np.round(WEIGHT / np.where(scale == 0, 1, scale)) * scale
    np.testing.assert_allclose(last, levels @ rounded * greatest / (255 - zero), rtol=1e-4, atol=1e-3)


def test_an_outlier_costs_its_own_token_alone_precision(files):
    exact, rounded = (answers(file, IDS)[2] for file in files)
    size = np.linalg.norm(exact, axis=-1)
    lost = np.linalg.norm(exact - rounded, axis=-1) / np.where(size == 0, 1, size)
    assert lost.max() < 0.03
    assert lost.max() > 1e-4
    alone = answers(files[1], IDS[:1, :1])[2]
    np.testing.assert_array_equal(alone[0, 0], rounded[0, 0])


def test_weights_are_a_quarter_of_the_size_and_the_exact_ones_are_gone(files):
    exact, rounded = (onnx.load(file).graph.initializer for file in files)
    assert {"table", "weight", "square"}.isdisjoint(tensor.name for tensor in rounded)
    sizes = [sum(len(tensor.raw_data) for tensor in tensors) for tensors in (exact, rounded)]
    assert sizes[1] < 0.4 * sizes[0]


def test_what_is_computed_or_read_otherwise_stays_as_it_is(tmp_path):
    nodes = [
        ("Gather", ["table", "ids"], ["states"]),
        ("Transpose", ["table"], ["words"]),
        ("MatMul", ["table", "narrow"], ["by_word"]),  # the table is read as a whole, too
        ("Gather", ["by_word", "ids"], ["last"]),
    ]
    file = graph_of(tmp_path, nodes, ["states", "last"], table=TABLE, narrow=WEIGHT)
    quantize_int8(file, tmp_path / "int8.onnx")
    np.testing.assert_array_equal(answers(tmp_path / "int8.onnx", IDS)[0], TABLE[IDS])
