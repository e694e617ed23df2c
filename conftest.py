"""What examples in docstrings find: a tiny encoder's folder, its tokenizer, and a folder to write into."""

from __future__ import annotations

import functools
import gc
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import encoder_folder, tokenizer  # noqa: F401  # fixtures of the suite, here for doctests

#: Run by a Python that has TensorFlow, which the tests' environment has not.
collect_ignore = ["hf_mtl/export/_saved_model/convert.py", "hf_mtl/export/_saved_model/operators.py"]

# Until all is imported: what is imported is there until the end, and to look through it again and again took a quarter
# of the time until the first test.
gc.disable()

# Temporary folders are in memory where it is large enough: what is saved is flushed to the disk, whose time tests with
# other processes beside them would wait for. A folder chosen by somebody stays.
_MEMORY = Path("/dev/shm")
if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 4 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


def pytest_collection_finish() -> None:
    """Let the garbage collector run from here on, and pass over what was imported.

    accelerate collects garbage at the beginning of each training. To look through all objects of the libraries took
    half a second of a core, more than the steps of a small training.
    """
    gc.freeze()
    gc.enable()
    if "torch" in sys.modules:
        _seed_no_absent_device()
    if "accelerate" in sys.modules:
        _look_for_packages_once()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Pass over what a file's tests have imported and made for all of them, once they have run.

    Late in a run what tests import (compilers, exporters, optimizers) makes each of thousands of collections last a
    tenth of a second.
    """
    if nextitem is not None and nextitem.path != item.path:
        gc.collect()
        gc.freeze()


def _seed_no_absent_device() -> None:
    """Let a seed be set for the devices that are there alone.

    For each kind of device torch keeps the seed and the stack of the call until one is found, which took a twentieth
    of a short training.
    """
    import torch

    for device, module in ((torch.cuda, torch.cuda.random), (torch.xpu, torch.xpu.random), (torch.mtia, torch.mtia)):
        if not device.is_available():
            module._lazy_call = lambda call, **kwargs: None  # type: ignore[attr-defined]


def _look_for_packages_once() -> None:
    """Let accelerate look for a package on the disk once.

    It looks for one in each step, and for a dozen where a training begins: a twelfth of a short training.
    """
    from accelerate.utils import imports

    imports._is_package_available = functools.cache(imports._is_package_available)


@pytest.fixture(autouse=True)
def _names_of_examples(
    request: pytest.FixtureRequest, doctest_namespace: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        doctest_namespace["encoder"] = str(request.getfixturevalue("encoder_folder"))
        doctest_namespace["tokenizer"] = request.getfixturevalue("tokenizer")
        doctest_namespace["folder"] = str(tmp_path_factory.mktemp("example"))
