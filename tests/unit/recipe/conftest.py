import datasets
import pytest

from tests.unit.recipe.recipe_files import recipe_values, write_data


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the data files, which is the current directory."""
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path)
    return tmp_path


@pytest.fixture
def values(folder, encoder_folder):
    return recipe_values(encoder_folder, "run")
