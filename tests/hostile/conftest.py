"""One tiny model and one set of data files for all hostile cases, copied for each."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path

import datasets
import pytest

from hf_mtl import MultiTaskModel, TaskConfig
from tests.encoders import tiny_encoder
from tests.hostile.judge import Judge
from tests.unit.recipe.recipe_files import recipe_values, write_data

TASKS = [
    TaskConfig("opinion", "sentiment", labels=["neg", "pos"]),
    TaskConfig("intent", "sequence-classification", labels=["book", "play"]),
    TaskConfig("slots", "token-classification", labels=["O", "B-artist", "B-place"]),
    TaskConfig("topics", "multi-label-classification", labels=["art", "city"]),
    TaskConfig("length", "regression"),
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A library's warning is no verdict here: the judge decides."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="module", autouse=True)
def _files_that_libraries_left_open():
    """Close them while their warnings are ignored, not in the next module's tests."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def hostile_model(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("hostile") / "model"
    MultiTaskModel.from_encoder(tiny_encoder(), TASKS).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def hostile_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def folder(tmp_path, hostile_cache, hostile_model, monkeypatch):
    """The current folder: a model and data files."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", hostile_cache)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(hostile_model, tmp_path / "model")
    write_data(tmp_path)
    return tmp_path


@pytest.fixture
def values(folder, encoder_folder):
    return recipe_values(encoder_folder, "run")


@pytest.fixture
def judge(folder, record_property):
    return Judge(folder, record_property)
