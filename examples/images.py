# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-mtl[vision]"]
# ///
"""Train one model on pictures and texts, and answer both: everything offline, on pictures that it draws.

    python examples/images.py OUTPUT [TEXT_ENCODER IMAGE_ENCODER]

The encoders are Hub ids or folders; without them small random ones are made. It leaves the model, a stock model of the
task of pictures, and ``answers.png``: some pictures with what the model says of them.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from datasets import Dataset, Features, Image, Value
from PIL import Image as Picture
from PIL import ImageDraw
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    BertConfig,
    BertModel,
    ConvNextConfig,
    ConvNextModel,
    PreTrainedTokenizerFast,
    ViTImageProcessorPil,
    pipeline,
    set_seed,
)

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig

PATTERNS, COLOURS = ("plain", "stripes", "bars"), ("red", "green", "blue")
WORDS = ("a", "film", "that", "is", "was", "the", "song", "very", "good", "fine", "bad", "dull")
EDGE = 32
TASKS = [
    TaskConfig("pattern", "image-classification", labels=list(PATTERNS)),
    TaskConfig("colour", "image-classification", labels=list(COLOURS)),
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
]


def draw(pattern: str, colour: str, generator: random.Random) -> Picture.Image:
    """Return a picture of any size in shades of a colour: plain, with stripes across it, or with bars down it."""
    width, height, step = generator.randint(48, 80), generator.randint(48, 80), generator.randint(8, 14)
    picture = Picture.new("RGB", (width, height), colour)
    pen = ImageDraw.Draw(picture)
    for place in range(generator.randint(0, step), max(width, height), step):
        if pattern == "stripes":
            pen.line((0, place, width, place), fill="white", width=step // 2)
        elif pattern == "bars":
            pen.line((place, 0, place, height), fill="white", width=step // 2)
    return picture


def make_data(rows: int, seed: int) -> dict[str, Dataset]:
    """Return a dataset of pictures, with a pattern and a colour, and one of reviews, with a mood."""
    generator = random.Random(seed)
    signs: dict[str, list[object]] = {"image": [], "pattern": [], "colour": []}
    reviews: dict[str, list[object]] = {"text": [], "mood": []}
    for _ in range(rows):
        pattern, colour = generator.choice(PATTERNS), generator.choice(COLOURS)
        for column, value in (("image", draw(pattern, colour, generator)), ("pattern", pattern), ("colour", colour)):
            signs[column].append(value)
        is_good = generator.random() < 0.5
        reviews["text"].append(f"the film was very {generator.choice(WORDS[8:10] if is_good else WORDS[10:])}")
        reviews["mood"].append("good" if is_good else "bad")
    features = Features({"image": Image(), "pattern": Value("string"), "colour": Value("string")})
    return {"signs": Dataset.from_dict(signs, features=features), "reviews": Dataset.from_dict(reviews)}


def make_encoders(folder: Path) -> dict[str, str]:
    """Write small random encoders of texts and of pictures, with what reads their inputs, into folders."""
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.normalizer, inner.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=32, **special).save_pretrained(folder / "text")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=32, **sizes)).save_pretrained(
        folder / "text"
    )
    ViTImageProcessorPil(size={"height": EDGE, "width": EDGE}).save_pretrained(folder / "image")
    stages = {"num_stages": 3, "depths": [1, 1, 1], "hidden_sizes": [16, 32, 64], "patch_size": 2}
    ConvNextModel(ConvNextConfig(image_size=EDGE, **stages)).save_pretrained(folder / "image")
    return {"text": str(folder / "text"), "image": str(folder / "image")}


def draw_answers(pictures: list[Picture.Image], answers: list[dict[str, dict[str, str]]], file: Path) -> None:
    """Write some pictures, each above what the model says of it."""
    sheet = Picture.new("RGB", (110 * len(pictures), 110), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (picture, answer) in enumerate(zip(pictures, answers, strict=True)):
        sheet.paste(picture, (110 * number + 10, 5))
        pen.text((110 * number + 10, 92), f"{answer['colour']['label']} {answer['pattern']['label']}", fill="black")
    sheet.save(file)


def main(output: str, *encoders: str) -> None:
    """Train, score, save, answer, and export."""
    folder = Path(output)
    set_seed(0)
    places = dict(zip(("text", "image"), encoders, strict=True)) if encoders else make_encoders(folder / "encoders")
    train, test = make_data(240, seed=1), make_data(60, seed=2)
    trainer = MultiTaskTrainer(
        MultiTaskModel.from_encoder(places, TASKS),
        MultiTaskTrainingArguments(
            str(folder / "model"),
            num_train_epochs=5,
            learning_rate=2e-3,
            per_device_train_batch_size=16,
            save_strategy="no",
            logging_steps=100,
            disable_tqdm=True,
        ),
        train,
        test,
        AutoTokenizer.from_pretrained(places["text"]),
        image_processor=AutoImageProcessor.from_pretrained(places["image"]),
    )
    trainer.train()
    trainer.save_model()
    scores = trainer.evaluate()
    for name in ("pattern", "colour", "mood"):
        print(f"{name:6} accuracy {scores[f'eval_{name}_accuracy']:.3f}")

    pipe = pipeline("multi-task", model=str(folder / "model"))
    pictures = list(test["signs"].select(range(6))["image"])
    draw_answers(pictures, pipe(pictures), folder / "answers.png")
    print(pipe({"text": "the film was very good", "image": pictures[0]}))

    # The task of pictures as a stock model, with the same answers.
    stock = trainer.model.to_transformers("pattern")
    stock.save_pretrained(folder / "pattern")
    print(f"{folder / 'pattern'}: {type(stock).__name__}")


if __name__ == "__main__":
    main(*sys.argv[1:])
