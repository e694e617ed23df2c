"""Answers of an exported multi-task model, with onnxruntime, tokenizers and numpy alone.

What ``hf-mtl export MODEL OUT --to onnx`` wrote answers here as `hf_mtl`'s pipeline does, without torch and without
transformers. A package of its own, so that importing it imports neither::

    from hf_mtl_light import OnnxPredictor

    predictor = OnnxPredictor("OUT")
    predictor("Play a good song in Rome!")
"""

from __future__ import annotations

from hf_mtl_light._predictor import OnnxPredictor
from hf_mtl_light.description import FORMAT_VERSION, GraphDescription, TaskDescription

__all__ = ["FORMAT_VERSION", "GraphDescription", "OnnxPredictor", "TaskDescription"]
