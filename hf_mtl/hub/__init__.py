"""Models on the Hub: what is included, how it gets there whole, and code that runs without this package.

`clean_copy` takes from a folder what may be shared and drops what describes the machine it was made on.
`push_folder` uploads it in one commit, so that a repository holds all of a push or nothing of it. `write_code` adds
the modelling code to a model's folder, for those who load it with ``trust_remote_code=True``.
"""

from __future__ import annotations

from hf_mtl.hub._clean import ARGUMENTS_FILE, clean_copy, shareable_arguments
from hf_mtl.hub._code import AUTO_MAP, CODE_PREFIX, flat_modules, write_code
from hf_mtl.hub._deployments import push_space, write_endpoint, write_space
from hf_mtl.hub._model import add_code, push_model, push_saved
from hf_mtl.hub._upload import create_repo, push_folder

__all__ = [
    "ARGUMENTS_FILE",
    "AUTO_MAP",
    "CODE_PREFIX",
    "add_code",
    "clean_copy",
    "create_repo",
    "flat_modules",
    "push_folder",
    "push_model",
    "push_saved",
    "push_space",
    "shareable_arguments",
    "write_code",
    "write_endpoint",
    "write_space",
]
