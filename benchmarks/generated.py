"""Made-up inputs: a tiny encoder with its tokenizer, and datasets of any size, for figures that no real text changes.

Also what ``--quick`` runs on: folders of the same form as the real data.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as PillowImage
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    BitImageProcessorPil,
    Dinov2Config,
    Dinov2Model,
    PreTrainedTokenizerFast,
)

__all__ = [
    "INTENTS",
    "TAGS",
    "inputs",
    "random_pictures",
    "save_encoder",
    "save_image_encoder",
    "sentences",
    "write_datasets",
]

WORDS = [f"word{i}" for i in range(500)]
INTENTS = ["book", "play", "find", "rate"]
TAGS = ["O", "B-city", "I-city", "B-name", "I-name"]
#: The columns that benchmarks read of the real data.
_DATASETS = {
    "snips": ("tokens", "intent", "slot_tags"),
    "sst2": ("text", "label"),
    "wnut17": ("tokens", "ner_tags"),
    "trec": ("text", "coarse"),
    "mrpc": ("sentence1", "sentence2", "label"),
    "stsb": ("sentence1", "sentence2", "score"),
    "mit_restaurant": ("tokens", "ner_tags"),
    "subjectivity": ("text", "label"),
    "wikigold": ("tokens", "ner_tags"),
    "atis": ("tokens", "intent", "slot_tags"),
    "rte": ("sentence1", "sentence2", "label"),
    "go_emotions": ("text", "labels"),
    "sick": ("sentence1", "sentence2", "label", "relatedness"),
}


def save_encoder(folder: Path, hidden_size: int = 32, layers: int = 2) -> str:
    """Save a BERT with random weights and its tokenizer; return the folder's name."""
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=256, model_input_names=inputs, **special
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=4 * hidden_size,
        max_position_embeddings=256,
    )
    BertModel(config).save_pretrained(folder)
    return str(folder)


def save_image_encoder(folder: Path, size: int = 28) -> str:
    """Save a DINOv2 of one layer with random weights and its image processor; return the folder's name."""
    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=size)
    Dinov2Model(config).save_pretrained(folder)
    edges = {"size": {"shortest_edge": size}, "crop_size": {"height": size, "width": size}}
    BitImageProcessorPil(**edges).save_pretrained(folder)
    return str(folder)


def random_pictures(count: int, seed: int) -> Dataset:
    """Return pictures of noise with one of two labels, in turn."""
    generator = np.random.default_rng(seed)
    pictures = [PillowImage.fromarray(generator.integers(0, 255, (30, 30, 3), dtype=np.uint8)) for _ in range(count)]
    features = Features({"image": Image(), "label": ClassLabel(names=["0", "1"])})
    return Dataset.from_dict({"image": pictures, "label": [i % 2 for i in range(count)]}, features=features)


@contextmanager
def inputs(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Iterator[str]:
    """Yield a folder for the time of a benchmark; with ``--quick``, ``options`` then name an encoder and data in it.

    Without, both must have been given.
    """
    with tempfile.TemporaryDirectory() as folder:
        if options.quick:
            place = Path(folder)
            options.encoder, options.data = save_encoder(place / "encoder"), write_datasets(place / "data", rows=64)
        if not (options.encoder and options.data):
            parser.error("--encoder and --data are needed, or --quick")
        yield folder


def sentences(count: int, seed: int, longest: int = 20) -> list[list[str]]:
    """Return sentences of 3 to ``longest`` words."""
    random = np.random.default_rng(seed)
    lengths = random.integers(3, longest + 1, count)
    words = np.array(WORDS)[random.integers(0, len(WORDS), lengths.sum())].tolist()
    ends = np.cumsum(lengths).tolist()
    return [words[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True)]


def write_datasets(folder: Path, rows: int) -> str:
    """Write datasets of the real ones' names and columns, each split with ``rows`` rows; return the folder's name."""
    for number, name in enumerate(_DATASETS):
        for offset, split in enumerate(("train", "validation", "test")):
            words = sentences(rows, seed=10 * number + offset)
            numbers = [int(row[0][4:]) for row in words]
            tags = [[TAGS[1] if int(word[4:]) < 50 else TAGS[0] for word in row] for row in words]
            texts = [" ".join(row) for row in words]
            pairs = {"sentence1": texts, "sentence2": texts[::-1]}
            columns = {
                "text": texts,
                "tokens": words,
                **pairs,
                "label": [("negative", "positive")[n % 2] for n in numbers],
                "coarse": [INTENTS[n % 4] for n in numbers],
                "intent": [INTENTS[n % 4] for n in numbers],
                "labels": [sorted({INTENTS[n % 4], INTENTS[n % 3]}) for n in numbers],
                "score": [n / 100 for n in numbers],
                "relatedness": [n / 100 for n in numbers],
                "ner_tags": tags,
                "slot_tags": tags,
            }
            columns = {column: columns[column] for column in _DATASETS[name]}
            target = folder / name / f"{split}.parquet"
            target.parent.mkdir(parents=True, exist_ok=True)
            Dataset.from_dict(columns).to_parquet(str(target))
    return str(folder)
