"""What of hf_mtl needs neither torch nor transformers: how logits become answers, and a predictor for exported graphs.

`hf_mtl` imports it, so that a model and its export answer by the same code:

- `hf_mtl_light.encoding`: rows to tokens, windows and words;
- `hf_mtl_light.tags`: tag schemes, legal tags, entities;
- `hf_mtl_light.answering`: logits to answers, one file a kind;
- `hf_mtl_light.inference`: all of it in batches, around any function from windows to logits.

It needs numpy; `OnnxPredictor` onnxruntime and tokenizers besides::

    from hf_mtl_light import OnnxPredictor

    predictor = OnnxPredictor("OUT")  # what hf-mtl export MODEL OUT --to onnx wrote
    predictor("Play a good song in Rome!")
"""

from __future__ import annotations

from hf_mtl_light._predictor import OnnxPredictor
from hf_mtl_light.answering import AnswerOptions
from hf_mtl_light.description import FORMAT_VERSION, GraphDescription, TaskDescription

__all__ = ["FORMAT_VERSION", "AnswerOptions", "GraphDescription", "OnnxPredictor", "TaskDescription"]
