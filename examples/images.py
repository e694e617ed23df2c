# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-mtl[vision]"]
# ///
"""Train one model on pictures and texts, and answer both: everything offline, on pictures that it draws.

    python examples/images.py OUTPUT [TEXT_ENCODER IMAGE_ENCODER]

The encoders are Hub ids or folders; without them small random ones are made. It leaves the model, a stock model of a
task of pictures, and ``answers.png`` and ``boxes.png``: some pictures with what the model says of them, and some with
the boxes that it finds.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from datasets import ClassLabel, Dataset, Features, Image, List, Value
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
from hf_mtl.heads import draw_boxes

PATTERNS, COLOURS = ("plain", "stripes", "bars"), ("red", "green", "blue")
WORDS = ("a", "film", "that", "is", "was", "the", "song", "very", "good", "fine", "bad", "dull")
SHAPES = {"disc": ("maroon", "tomato"), "box": ("teal", "navy")}
TASKS = [
    TaskConfig("pattern", "image-classification", labels=list(PATTERNS)),
    TaskConfig("colour", "image-classification", labels=list(COLOURS)),
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("shapes", "object-detection", labels=list(SHAPES), options={"strides": [0.5], "channels": 32}),
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


def draw_scene(generator: random.Random) -> tuple[Picture.Image, dict[str, list[object]]]:
    """Return a picture of discs and boxes that do not touch, and its objects: left, top, width, height and kind."""
    size = 96
    picture = Picture.new("RGB", (size, size), (230, 228, 220))
    pen = ImageDraw.Draw(picture)
    objects: dict[str, list[object]] = {"bbox": [], "category": []}
    for column, row in generator.sample([(0, 0), (0, 1), (1, 0), (1, 1)], generator.randint(1, 4)):
        width, height = generator.randint(20, 40), generator.randint(20, 40)
        kind = generator.choice([*SHAPES])
        width, height = (width, width) if kind == "disc" else (width, height)
        left = column * size // 2 + generator.randint(0, size // 2 - width)
        top = row * size // 2 + generator.randint(0, size // 2 - height)
        edges = (left, top, left + width, top + height)
        (pen.ellipse if kind == "disc" else pen.rectangle)(edges, fill=generator.choice(SHAPES[kind]))
        objects["bbox"].append([left, top, width, height])
        objects["category"].append([*SHAPES].index(kind))
    return picture, objects


def make_data(rows: int, seed: int) -> dict[str, Dataset]:
    """Return a dataset of pictures with a pattern and a colour, one of scenes with shapes, and one of reviews."""
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
    drawn = [draw_scene(generator) for _ in range(rows // 2)]
    scenes = {"image": [picture for picture, _ in drawn], "shapes": [objects for _, objects in drawn]}
    found = {"bbox": List(List(Value("float32"), length=4)), "category": List(ClassLabel(names=list(SHAPES)))}
    return {
        "signs": Dataset.from_dict(signs, features=features),
        "scenes": Dataset.from_dict(scenes, features=Features({"image": Image(), "shapes": found})),
        "reviews": Dataset.from_dict(reviews),
    }


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
    ViTImageProcessorPil().save_pretrained(folder / "image")
    stages = {"num_stages": 3, "depths": [1, 1, 1], "hidden_sizes": [16, 32, 64], "patch_size": 2}
    ConvNextModel(ConvNextConfig(image_size=48, **stages)).save_pretrained(folder / "image")
    return {"text": str(folder / "text"), "image": str(folder / "image")}


def draw_answers(pictures: list[Picture.Image], answers: list[dict[str, dict[str, str]]], file: Path) -> None:
    """Write some pictures, each above what the model says of it."""
    sheet = Picture.new("RGB", (110 * len(pictures), 110), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (picture, answer) in enumerate(zip(pictures, answers, strict=True)):
        sheet.paste(picture, (110 * number + 10, 5))
        pen.text((110 * number + 10, 92), f"{answer['colour']['label']} {answer['pattern']['label']}", fill="black")
    sheet.save(file)


def draw_found(pictures: list[Picture.Image], answers: list[dict[str, list[dict[str, object]]]], file: Path) -> None:
    """Write some pictures side by side, with the boxes that the model finds."""
    sheet = Picture.new("RGB", (200 * len(pictures), 196), "white")
    for number, (picture, answer) in enumerate(zip(pictures, answers, strict=True)):
        larger = picture.resize((192, 192))
        boxes = [{**one, "box": {edge: 2 * at for edge, at in one["box"].items()}} for one in answer["shapes"]]
        sheet.paste(draw_boxes(larger, boxes), (200 * number + 4, 2))
    sheet.save(file)


def main(output: str, *encoders: str) -> None:
    """Train, score, save, answer, and export."""
    folder = Path(output)
    set_seed(0)
    places = dict(zip(("text", "image"), encoders, strict=True)) if encoders else make_encoders(folder / "encoders")
    # Boxes need the whole picture, so nothing of it is cut off.
    edge = 112 if encoders else 48
    whole = {"do_center_crop": False, "size": {"height": edge, "width": edge}}
    train, test = make_data(240, seed=1), make_data(60, seed=2)
    trainer = MultiTaskTrainer(
        MultiTaskModel.from_encoder(places, TASKS),
        MultiTaskTrainingArguments(
            str(folder / "model"),
            num_train_epochs=6,
            learning_rate=2e-3,
            per_device_train_batch_size=16,
            save_strategy="no",
            logging_steps=100,
            disable_tqdm=True,
        ),
        train,
        test,
        AutoTokenizer.from_pretrained(places["text"]),
        image_processor=AutoImageProcessor.from_pretrained(places["image"], **whole),
    )
    trainer.train()
    trainer.save_model()
    scores = trainer.evaluate()
    for name in ("pattern", "colour", "mood"):
        print(f"{name:7} accuracy {scores[f'eval_{name}_accuracy']:.3f}")
    print(f"shapes  mAP@50   {scores['eval_shapes_map_50']:.3f}")

    pipe = pipeline("multi-task", model=str(folder / "model"))
    pictures = list(test["signs"].select(range(6))["image"])
    draw_answers(pictures, pipe(pictures, tasks=["pattern", "colour"]), folder / "answers.png")
    scenes = list(test["scenes"].select(range(4))["image"])
    draw_found(scenes, pipe(scenes, tasks=["shapes"], thresholds=0.3), folder / "boxes.png")
    print(pipe({"text": "the film was very good", "image": pictures[0]}))

    # The task of pictures as a stock model, with the same answers.
    stock = trainer.model.to_transformers("pattern")
    stock.save_pretrained(folder / "pattern")
    print(f"{folder / 'pattern'}: {type(stock).__name__}")


if __name__ == "__main__":
    main(*sys.argv[1:])
