"""Small real parts for tests: a tokenizer, encoders with random weights, datasets."""

from __future__ import annotations

import os

# Before any Hugging Face library is imported: nothing in the tests may reach for a network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests import inner_loop
from tests.hostile.counts import lines_of_counts

# Imported where they are used: the process that hands tests out to others runs none, and needs none of them.
if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# No deadlines: shared machines pause. The seed is fixed so that a run's verdict is the code's, not the day's.
settings.register_profile("suite", deadline=None, max_examples=15, derandomize=True)
settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """Mark the tests of the inner loop."""
    config.pluginmanager.register(inner_loop)


_WORDS = (  # noqa: SIM905  # one string reads better than a hundred literals
    "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e f g h i j k l m n o p q r s t u v w x y z ##a ##b ##c ##d "
    "##e ##f ##g ##h ##i ##j ##k ##l ##m ##n ##o ##p ##q ##r ##s ##t ##u ##v ##w ##x ##y ##z good bad "
    "film book play song by in the paris rome anna bob is was not very ! , . ? 1 2 3 ##ing"
).split()


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Build a lower-casing WordPiece tokenizer whose pieces cover every lower-case word."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordPiece({w: i for i, w in enumerate(_WORDS)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many hostile cases ran, by kind and verdict; here, since a run in several processes reads no other."""
    for line in lines_of_counts(terminalreporter.stats):
        terminalreporter.write_line(f"hostile {line}")


@pytest.fixture(scope="session")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory, tokenizer):
    import torch
    from transformers import AutoModel

    from tests.encoders import tiny_config

    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    AutoModel.from_config(tiny_config("bert")).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
