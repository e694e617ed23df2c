"""Scripts that another Python runs, which has TensorFlow and not torch: nothing here imports hf_mtl.

`convert.py` writes an ONNX graph as a SavedModel, by the operators of `operators.py`, and asks one for its answers.
"""
