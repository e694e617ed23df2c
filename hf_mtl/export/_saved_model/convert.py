"""An ONNX graph written as a SavedModel, and a SavedModel asked for its answers.

Run by itself, by a Python that has TensorFlow and need not have torch, Transformers or hf_mtl:

    python convert.py write model.onnx FOLDER        needs onnx, too
    python convert.py answer FOLDER inputs.npz answers.npz
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import tensorflow as tf

#: Weights with more numbers are variables of the SavedModel: a graph may hold 2 GB of constants.
_LARGE = 1024


def write(file: str, folder: str) -> None:
    """Write a graph as a SavedModel with the signature ``serving_default`` and the endpoint ``call``.

    Inputs and outputs have the graph's names.

    Raises:
        NotImplementedError: If the graph has an operator that `operators` lacks.
    """
    import onnx
    from operators import OPERATORS  # type: ignore[import-not-found]  # beside this script

    graph = onnx.load(file).graph
    lacking = sorted({node.op_type for node in graph.node if node.domain or node.op_type not in OPERATORS})
    if lacking:
        raise NotImplementedError(f"the graph has operators that are not translated: {', '.join(lacking)}")
    module = tf.Module()
    given: dict[str, Any] = {"": None}
    module.weights = []
    for tensor in graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)
        if value.size > _LARGE:
            value = tf.Variable(value, trainable=False)
            module.weights.append(value)
        given[tensor.name] = value
    nodes = [
        (
            OPERATORS[node.op_type],
            list(node.input),
            {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute},
            list(node.output),
        )
        for node in graph.node
    ]
    outputs = [value.name for value in graph.output]

    def serve(**inputs: Any) -> dict[str, Any]:
        values = {**given, **inputs}
        for operator, names, attributes, made in nodes:
            found = operator([values[name] for name in names], attributes, len(made))
            values.update(zip(made, found if isinstance(found, list | tuple) else [found], strict=False))
        return {name: tf.identity(values[name]) for name in outputs}

    signature = {
        value.name: tf.TensorSpec(
            [dim.dim_value or None for dim in value.type.tensor_type.shape.dim],
            tf.as_dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)),
            name=value.name,
        )
        for value in graph.input
    }
    module.serve = tf.function(serve, autograph=False)
    concrete = module.serve.get_concrete_function(**signature)
    # What keras.layers.TFSMLayer calls: a layer has one input, here a mapping.
    module.call = tf.function(lambda inputs: concrete(**inputs), input_signature=[signature], autograph=False)
    tf.saved_model.save(module, folder, signatures={"serving_default": concrete})


def answer(folder: str, inputs: str, answers: str) -> None:
    """Answer batches by the signature of a SavedModel: arrays ``<number>/<input>`` become ``<number>/<output>``."""
    serve = tf.saved_model.load(folder).signatures["serving_default"]
    batches: dict[str, dict[str, Any]] = {}
    with np.load(inputs) as arrays:
        for name in arrays.files:
            number, _, key = name.partition("/")
            batches.setdefault(number, {})[key] = tf.constant(arrays[name])
    found = {}
    for number, batch in batches.items():
        for key, value in serve(**batch).items():
            found[f"{number}/{key}"] = value.numpy()
    np.savez(answers, **found)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(*sys.argv[2:])
    else:
        answer(*sys.argv[2:])
