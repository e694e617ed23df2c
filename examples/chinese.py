# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-mtl"]
# ///
"""Chinese, which has no spaces between words: the sentiment of a text, and names tagged character by character.

    python examples/chinese.py OUTPUT [ENCODER]

ENCODER is a Hub id or a folder, such as google-bert/bert-base-chinese; without it a small random one is made, and the
script runs offline on rows that it makes.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from datasets import Dataset
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast, pipeline, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig

THINGS, GOOD, BAD = (
    ("房间", "早餐", "服务", "位置", "价格"),
    ("很好", "不错", "干净", "满意"),
    ("很差", "太吵", "糟糕", "失望"),
)
PEOPLE, PLACES = ("王小明", "李华", "张伟", "陈静"), ("北京", "上海", "广州", "西安")
TASKS = [
    TaskConfig("sentiment", "sentiment", labels=["消极", "积极"]),
    TaskConfig("names", "token-classification", labels=["O", "B-人名", "I-人名", "B-地名", "I-地名"]),
]


def make_reviews(rows: int, seed: int) -> Dataset:
    """Return texts of hotel guests, and whether they are content."""
    generator = random.Random(seed)
    found: dict[str, list[object]] = {"text": [], "sentiment": []}
    for _ in range(rows):
        is_good = generator.random() < 0.5
        found["text"].append(f"{generator.choice(THINGS)}{generator.choice(GOOD if is_good else BAD)}。")
        found["sentiment"].append(TASKS[0].labels[is_good])
    return Dataset.from_dict(found)


def make_news(rows: int, seed: int) -> Dataset:
    """Return characters with a tag each: a character is a word to the task, so a name may have any length."""
    generator = random.Random(seed)
    found: dict[str, list[list[str]]] = {"tokens": [], "names": []}
    for _ in range(rows):
        if generator.random() < 0.3:  # a model that saw names in every text finds one in every text
            text = f"{generator.choice(THINGS)}{generator.choice(GOOD + BAD)}。"
            found["tokens"].append(list(text))
            found["names"].append(["O"] * len(text))
            continue
        person, place = generator.choice(PEOPLE), generator.choice(PLACES)
        tags = ["B-人名", *["I-人名"] * (len(person) - 1), "O", "B-地名", *["I-地名"] * (len(place) - 1), "O", "O", "O"]
        found["tokens"].append(list(f"{person}在{place}工作。"))
        found["names"].append(tags)
    return Dataset.from_dict(found)


def make_encoder(folder: Path) -> str:
    """Write a small random encoder, and a tokenizer of the characters above, into a folder."""
    letters = "".join((*THINGS, *GOOD, *BAD, *PEOPLE, *PLACES)) + "在工作的。"
    words = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters])
    vocabulary = {word: number for number, word in enumerate(words)}
    inner = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    # As in BERT: each Chinese character is a token by itself.
    inner.normalizer, inner.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=32, **special).save_pretrained(folder)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=32, **sizes)).save_pretrained(folder)
    return str(folder)


def main(output: str, encoder: str | None = None) -> None:
    """Train, evaluate, save, answer."""
    set_seed(0)
    # A pretrained encoder learns at 5e-5; a random one needs more.
    rate = 5e-5 if encoder else 2e-3
    encoder = encoder or make_encoder(Path(output) / "encoder")
    trainer = MultiTaskTrainer(
        MultiTaskModel.from_encoder(encoder, TASKS),
        MultiTaskTrainingArguments(
            output,
            num_train_epochs=12,
            per_device_train_batch_size=16,
            learning_rate=rate,
            save_strategy="no",
            logging_steps=20,
        ),
        train_dataset={"reviews": make_reviews(96, seed=1), "news": make_news(96, seed=2)},
        eval_dataset={"reviews": make_reviews(32, seed=3), "news": make_news(32, seed=4)},
        processing_class=AutoTokenizer.from_pretrained(encoder),
    )
    trainer.train()
    trainer.save_model()
    scores = trainer.evaluate()
    print(f"sentiment accuracy {scores['eval_sentiment_accuracy']:.3f}, names F1 {scores['eval_names_f1']:.3f}")

    # A plain text in, names with their places out: nothing has to be cut into characters before.
    pipe = pipeline("multi-task", model=output)
    for text in ("李华在西安工作。", "早餐很好。"):
        answer = pipe(text, aggregation_strategy="simple")
        names = [(text[name["start"] : name["end"]], name["entity_group"]) for name in answer["names"]]
        print(text, answer["sentiment"]["label"], names)


if __name__ == "__main__":
    main(*sys.argv[1:])
