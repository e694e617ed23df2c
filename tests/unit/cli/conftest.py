"""A small model of the tests in this folder."""

import pytest

from hf_mtl import MultiTaskModel, TaskConfig
from tests.encoders import tiny_encoder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("model")
    tasks = [
        TaskConfig("mood", "sentiment", labels=["bad", "good"]),
        TaskConfig("topic", "sequence-classification", labels=["[red]sport[/red]", "\x1b[31mart\x9b2J"]),
    ]
    MultiTaskModel.from_encoder(tiny_encoder(), tasks).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
