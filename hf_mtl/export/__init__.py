"""Models in other formats: a task as a stock Transformers folder, or all tasks as one ONNX graph.

`export_transformers` writes what ``AutoModelForSequenceClassification.from_pretrained`` loads where hf_mtl is not
installed; `export_onnx` writes what `hf_mtl_light.OnnxPredictor` answers with where torch is not installed;
`export_tensorflow` writes a SavedModel. Each folder appears whole or not at all.
"""

from __future__ import annotations

from hf_mtl.export._folder import check_folder
from hf_mtl.export._onnx import OnnxReport, export_onnx
from hf_mtl.export._tensorflow import export_tensorflow
from hf_mtl.export._transformers import export_transformers

__all__ = ["OnnxReport", "check_folder", "export_onnx", "export_tensorflow", "export_transformers"]
