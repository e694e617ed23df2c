import datasets
import pytest

from tests.unit.validation.recipes import small_recipe, write_recipe_data


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture
def values(tmp_path, monkeypatch, encoder_folder):
    """A recipe's values; its data lie in the current directory."""
    monkeypatch.chdir(tmp_path)
    write_recipe_data(tmp_path)
    return small_recipe(encoder_folder)
