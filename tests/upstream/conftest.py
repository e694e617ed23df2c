"""Nothing here is collected but by ``make upstream``, which says where Transformers' own tests lie."""

import os
import sys

FOLDER = os.environ.get("HF_MTL_UPSTREAM")
if FOLDER is None:
    collect_ignore_glob = ["test_*.py"]
else:
    sys.path.insert(0, FOLDER)
    # The pipeline mixin reads it when it is imported.
    os.environ["TRANSFORMERS_TINY_MODEL_PATH"] = os.path.join(FOLDER, "tiny")
