"""Operators of ONNX (opset 20) by those of TensorFlow: what graphs of encoders and heads are made of.

An operator takes its inputs (arrays where the graph holds constants, else tensors; None where one is left out), its
attributes, and the number of its outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

__all__ = ["OPERATORS"]

Inputs: TypeAlias = Sequence[Any]
Attributes: TypeAlias = Mapping[str, Any]
Operator: TypeAlias = Callable[[Inputs, Attributes, int], Any]


def _plain(function: Callable[..., Any]) -> Operator:
    """Return an operator that takes its inputs alone."""
    return lambda inputs, attributes, count: function(*inputs)


def _folded(function: Callable[[Any, Any], Any]) -> Operator:
    """Return an operator that takes any number of inputs."""
    return lambda inputs, attributes, count: reduce(function, inputs)


def _numbers(value: Any) -> list[int]:
    """Return the numbers of an input that the graph holds as a constant, such as axes.

    Raises:
        NotImplementedError: If they are computed.
    """
    value = value if isinstance(value, np.ndarray) else tf.get_static_value(value)
    if value is None:
        raise NotImplementedError("an operator's axes are computed, not constant")
    return [int(number) for number in np.ravel(value)]


def _is_positive(shape: Any) -> bool:
    return isinstance(shape, np.ndarray) and bool((shape != 0).all())


def _rank(tensor: Any) -> int:
    return len(tensor.shape)


def _shape(tensor: Any) -> Any:
    return tf.shape(tensor, out_type=tf.int64)


def _divide(one: Any, two: Any) -> Any:
    return tf.truncatediv(one, two) if tf.as_dtype(one.dtype).is_integer else tf.divide(one, two)


def _clip(inputs: Inputs, attributes: Attributes, count: int) -> Any:
    value, least, most = (*inputs, None, None)[:3]
    value = value if least is None else tf.maximum(value, least)
    return value if most is None else tf.minimum(value, most)


def _gather(inputs: Inputs, attributes: Attributes, count: int) -> Any:
    values, indices = inputs
    axis = attributes.get("axis", 0)
    return tf.gather(values, tf.where(indices < 0, indices + _shape(values)[axis], indices), axis=axis)


def _gather_elements(inputs: Inputs, attributes: Attributes, count: int) -> Any:
    values, indices = inputs
    axis = attributes.get("axis", 0) % _rank(values)
    last = [number for number in range(_rank(values)) if number != axis] + [axis]
    back = np.argsort(last)
    indices = tf.where(indices < 0, indices + _shape(values)[axis], indices)
    taken = tf.gather(tf.transpose(values, last), tf.transpose(indices, last), batch_dims=_rank(values) - 1)
    return tf.transpose(taken, back)


def _gemm(inputs: Inputs, attributes: Attributes, count: int) -> Any:
    one, two, *bias = inputs
    found = tf.matmul(
        one, two, transpose_a=bool(attributes.get("transA", 0)), transpose_b=bool(attributes.get("transB", 0))
    )
    found *= attributes.get("alpha", 1.0)
    return found + attributes.get("beta", 1.0) * bias[0] if bias else found


def _matmul(one: Any, two: Any) -> Any:
    return tf.tensordot(one, two, 1) if min(_rank(one), _rank(two)) == 1 or _rank(two) == 2 else tf.matmul(one, two)


def _layer_normalization(inputs: Inputs, attributes: Attributes, count: int) -> Any:
    value, scale, *shift = inputs
    axes = list(range(attributes.get("axis", -1) % _rank(value), _rank(value)))
    mean = tf.reduce_mean(value, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(value - mean), axes, keepdims=True)
    found = (value - mean) * tf.math.rsqrt(variance + attributes.get("epsilon", 1e-5)) * scale
    return found + shift[0] if shift and shift[0] is not None else found


def _reduced(function: Callable[..., Any]) -> Operator:
    def operator(inputs: Inputs, attributes: Attributes, count: int) -> Any:
        value, axes = (*inputs, None)[:2]
        if axes is None and attributes.get("noop_with_empty_axes", 0):
            return value
        return function(value, None if axes is None else _numbers(axes), keepdims=bool(attributes.get("keepdims", 1)))

    return operator


def _arg_max(inputs: Inputs, attributes: Attributes, count: int) -> Any:
    axis = attributes.get("axis", 0)
    if attributes.get("select_last_index", 0):
        raise NotImplementedError("ArgMax of the last index")
    found = tf.argmax(inputs[0], axis, output_type=tf.int64)
    return tf.expand_dims(found, axis) if attributes.get("keepdims", 1) else found


def _reshape(inputs: Inputs, attributes: Attributes, count: int) -> Any:
    value, shape = inputs
    if not attributes.get("allowzero", 0) and not _is_positive(shape):  # 0 stands for the value's own size
        own = tf.concat([_shape(value), tf.ones(shape.shape[0], tf.int64)], 0)[: shape.shape[0]]
        shape = tf.where(tf.equal(shape, 0), own, shape)
    return tf.reshape(value, shape)


def _expand(value: Any, shape: Any) -> Any:
    return tf.broadcast_to(value, tf.broadcast_dynamic_shape(_shape(value), tf.cast(shape, tf.int64)))


def _slice(inputs: Inputs, attributes: Attributes, count: int) -> Any:
    value, starts, ends, axes, steps = (*inputs, None, None)[:5]
    chosen = range(len(starts)) if axes is None else _numbers(axes)
    slices: list[Any] = [slice(None)] * _rank(value)
    for number, axis in enumerate(chosen):
        step = 1 if steps is None else _numbers(steps)[number]
        if step < 1:
            raise NotImplementedError("Slice backwards")
        size = _shape(value)[axis]
        # The least and the greatest int64 stand for the two ends.
        start, end = (tf.clip_by_value(tf.cast(place[number], tf.int64), -size, size) for place in (starts, ends))
        slices[axis] = slice(start, end, step)
    return value[tuple(slices)] if not isinstance(value, np.ndarray) else tf.constant(value)[tuple(slices)]


def _split(inputs: Inputs, attributes: Attributes, count: int) -> Any:
    value, sizes = (*inputs, None)[:2]
    return tf.split(value, count if sizes is None else _numbers(sizes), axis=attributes.get("axis", 0))


def _squeeze(inputs: Inputs, attributes: Attributes, count: int) -> Any:
    return tf.squeeze(inputs[0], _numbers(inputs[1]) if len(inputs) > 1 else None)


def _unsqueeze(value: Any, axes: Any) -> Any:
    numbers = _numbers(axes)
    rank = _rank(value) + len(numbers)
    return reduce(tf.expand_dims, sorted(number % rank for number in numbers), value)


def _trilu(inputs: Inputs, attributes: Attributes, count: int) -> Any:
    value, diagonal = (*inputs, None)[:2]
    shift = 0 if diagonal is None else _numbers(diagonal)[0]
    rows, columns = tf.range(_shape(value)[-2])[:, None], tf.range(_shape(value)[-1])[None]
    kept = columns - rows >= shift if attributes.get("upper", 1) else columns - rows <= shift
    return tf.where(kept, value, tf.zeros([], value.dtype))


def _cast(inputs: Inputs, attributes: Attributes, count: int) -> Any:
    import onnx

    return tf.cast(inputs[0], tf.as_dtype(onnx.helper.tensor_dtype_to_np_dtype(attributes["to"])))


def _shape_of(inputs: Inputs, attributes: Attributes, count: int) -> Any:
    return _shape(inputs[0])[attributes.get("start", 0) : attributes.get("end")]


def _cumulated(inputs: Inputs, attributes: Attributes, count: int) -> Any:
    value, axis = inputs
    exclusive, reverse = (bool(attributes.get(name, 0)) for name in ("exclusive", "reverse"))
    return tf.cumsum(value, _numbers(axis)[0], exclusive=exclusive, reverse=reverse)


def _constant_of_shape(inputs: Inputs, attributes: Attributes, count: int) -> Any:
    import onnx

    value = attributes.get("value")
    return tf.fill(inputs[0], np.float32(0) if value is None else onnx.numpy_helper.to_array(value).ravel()[0])


#: Operator of ONNX -> what does it.
OPERATORS: Mapping[str, Operator] = {
    "Abs": _plain(tf.abs),
    "Add": _plain(tf.add),
    "And": _plain(tf.logical_and),
    "ArgMax": _arg_max,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda inputs, attributes, count: tf.concat(list(inputs), attributes["axis"]),
    "ConstantOfShape": _constant_of_shape,
    "Cos": _plain(tf.cos),
    "CumSum": _cumulated,
    "Div": _plain(_divide),
    "Equal": _plain(tf.equal),
    "Erf": _plain(tf.math.erf),
    "Exp": _plain(tf.exp),
    "Expand": _plain(_expand),
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": lambda inputs, attributes, count: tf.gather_nd(*inputs, batch_dims=attributes.get("batch_dims", 0)),
    "Gelu": lambda inputs, attributes, count: tf.nn.gelu(inputs[0], attributes.get("approximate", b"none") == b"tanh"),
    "Gemm": _gemm,
    "Greater": _plain(tf.greater),
    "GreaterOrEqual": _plain(tf.greater_equal),
    "Identity": _plain(tf.identity),
    "IsNaN": _plain(tf.math.is_nan),
    "LayerNormalization": _layer_normalization,
    "Less": _plain(tf.less),
    "LessOrEqual": _plain(tf.less_equal),
    "Log": _plain(tf.math.log),
    "MatMul": _plain(_matmul),
    "Max": _folded(tf.maximum),
    "Min": _folded(tf.minimum),
    "Mul": _plain(tf.multiply),
    "Neg": _plain(tf.negative),
    "Not": _plain(tf.logical_not),
    "Or": _plain(tf.logical_or),
    "Pow": _plain(lambda base, power: tf.pow(base, tf.cast(power, base.dtype))),
    "Range": _plain(lambda start, end, step: tf.range(start, end, step)),
    "Reciprocal": _plain(tf.math.reciprocal),
    "ReduceMax": _reduced(tf.reduce_max),
    "ReduceMean": _reduced(tf.reduce_mean),
    "ReduceMin": _reduced(tf.reduce_min),
    "ReduceSum": _reduced(tf.reduce_sum),
    "Relu": _plain(tf.nn.relu),
    "Reshape": _reshape,
    "Shape": _shape_of,
    "Sigmoid": _plain(tf.sigmoid),
    "Sign": _plain(tf.sign),
    "Sin": _plain(tf.sin),
    "Slice": _slice,
    "Softmax": lambda inputs, attributes, count: tf.nn.softmax(inputs[0], attributes.get("axis", -1)),
    "Split": _split,
    "Sqrt": _plain(tf.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(tf.subtract),
    "Tanh": _plain(tf.tanh),
    "Transpose": lambda inputs, attributes, count: tf.transpose(inputs[0], attributes.get("perm")),
    "Trilu": _trilu,
    "Unsqueeze": _plain(_unsqueeze),
    "Where": _plain(tf.where),
}
