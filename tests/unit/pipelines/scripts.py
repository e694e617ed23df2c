"""A tokenizer for several scripts, a model on it, and the stock single-task models with the same weights."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertForSequenceClassification, BertForTokenClassification, PreTrainedTokenizerFast, pipeline

from hf_mtl import MultiTaskModel, TaskConfig
from tests.encoders import tiny_config, tiny_encoder

__all__ = ["TASKS", "TEXTS", "make_model", "make_tokenizer", "stock_pipeline"]

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_WORDS = ["film", "good", "paris", "new", "york", "play", "the", "in", "book"]
_HAN = "北京大学电影很好看我在上海的一本书不"
_OTHER = "שלוםעולםنص"
_MARKS = list("!,.?-'")
VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *dict.fromkeys([*_LETTERS, *(f"##{c}" for c in _LETTERS), *_WORDS, *_HAN, *(f"##{c}" for c in _HAN)]),
    *dict.fromkeys([*_OTHER, *(f"##{c}" for c in _OTHER), *_MARKS]),
]
TASKS = [
    TaskConfig("topic", "sequence-classification", labels=["arts", "money", "sports"]),
    TaskConfig("tones", "sequence-classification", labels=["x", "y", "z"], problem_type="multi_label_classification"),
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("names", "token-classification", labels=["O", "B-city", "I-city", "B-film", "I-film"]),
    TaskConfig("words", "token-classification", labels=["NOUN", "VERB", "X"]),
    TaskConfig("stars", "regression", target_mean=3.0, target_std=2.0),
]
TEXTS = [
    "Play the film in New York!",
    "北京大学的电影很好看",
    "我在上海看 a good book, 一本好书。",
    "good",
    "anna-maria's unknowable playing",
    "שלום עולם",
    "the Café in Paris \U0001f600 is good",
    "in the in the in the new new york paris film play book",
]


def make_tokenizer(length: int = 64) -> PreTrainedTokenizerFast:
    """Return a lower-casing WordPiece tokenizer that takes Chinese characters one by one, as BERT's do."""
    backend = Tokenizer(models.WordPiece({w: i for i, w in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **{f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")},
        model_max_length=length,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def make_model(family: str = "bert", tasks: list[TaskConfig] = TASKS) -> MultiTaskModel:
    """Return a model whose heads have large weights, so that tags change within words."""
    model = MultiTaskModel.from_encoder(tiny_encoder(family, vocab_size=len(VOCABULARY)), tasks)
    torch.manual_seed(3)
    with torch.no_grad():
        for head in model.task_heads.values():
            for parameter in head.parameters():
                parameter.normal_(std=0.5)
    return model


def stock_pipeline(model: MultiTaskModel, name: str, tokenizer: Any, **kwargs: Any) -> Any:
    """Return Transformers' own pipeline on a stock BERT model that was given the weights of a task."""
    head, task = model.task_heads[name], model.config.task(name)
    is_token = head.level == "token"
    labels = list(task.labels or ["value"])
    config = tiny_config(
        "bert",
        vocab_size=len(VOCABULARY),
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        problem_type=task.problem_type,
    )
    stock = (BertForTokenClassification if is_token else BertForSequenceClassification)(config).eval()
    stock.bert.load_state_dict(model.encoder.state_dict(), strict=False)
    stock.classifier.load_state_dict(head.classifier.stock.classifier.state_dict())
    if not is_token:
        stock.bert.pooler.load_state_dict(head.classifier.pooler.state_dict())
    return pipeline(
        "token-classification" if is_token else "text-classification",
        model=stock,
        tokenizer=tokenizer,
        device="cpu",
        **kwargs,
    )
