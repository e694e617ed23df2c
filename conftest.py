"""What examples in docstrings find: a tiny encoder's folder, its tokenizer, and a folder to write into."""

from __future__ import annotations

import gc
import sys

import pytest

from tests.conftest import encoder_folder, tokenizer  # noqa: F401  # fixtures of the suite, here for doctests

#: Run by a Python that has TensorFlow, which the tests' environment has not.
collect_ignore = ["hf_mtl/export/_saved_model/convert.py", "hf_mtl/export/_saved_model/operators.py"]

# Until all is imported: what is imported is there until the end, and to look through it again and again took a quarter
# of the time until the first test.
gc.disable()


def pytest_collection_finish() -> None:
    """Let the garbage collector run from here on, and pass over what was imported.

    accelerate collects garbage at the beginning of each training. To look through all objects of the libraries took
    half a second of a core, more than the steps of a small training.
    """
    gc.freeze()
    gc.enable()
    if "torch" in sys.modules:
        _seed_no_absent_device()


def _seed_no_absent_device() -> None:
    """Let a seed be set for the devices that are there alone.

    For each kind of device torch keeps the seed and the stack of the call until one is found, which took a twentieth
    of a short training.
    """
    import torch

    for device, module in ((torch.cuda, torch.cuda.random), (torch.xpu, torch.xpu.random), (torch.mtia, torch.mtia)):
        if not device.is_available():
            module._lazy_call = lambda call, **kwargs: None  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _names_of_examples(
    request: pytest.FixtureRequest, doctest_namespace: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        doctest_namespace["encoder"] = str(request.getfixturevalue("encoder_folder"))
        doctest_namespace["tokenizer"] = request.getfixturevalue("tokenizer")
        doctest_namespace["folder"] = str(tmp_path_factory.mktemp("example"))
