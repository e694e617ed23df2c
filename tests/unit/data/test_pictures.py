"""Pictures of every kind: read as meant, or named with dataset and row."""

import io

import numpy as np
import pytest
from datasets import Dataset, Features, Image, Value
from PIL import Image as PillowImage

from hf_mtl import TaskConfig
from hf_mtl.data import LabelledDataset, MultiTaskCollator, PictureError, read_picture
from hf_mtl.heads import ImageClassificationHead
from tests.image_encoders import image_processor

LEVELS = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
RGB = PillowImage.fromarray(np.stack([LEVELS, LEVELS + 1, LEVELS + 2], axis=-1))


def stored(image, **kwargs):
    buffer = io.BytesIO()
    image.save(buffer, **{"format": "PNG", **kwargs})
    return buffer.getvalue()


def turned(image, orientation):
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    return stored(image, exif=exif)


def transparent():
    image = RGB.convert("RGBA")
    image.putalpha(PillowImage.fromarray(np.zeros((3, 4), dtype=np.uint8)))
    return image


READ = {
    "rgb": (RGB, np.asarray(RGB)),
    "a file": (stored(RGB), np.asarray(RGB)),
    "as datasets stores it": ({"bytes": stored(RGB), "path": None}, np.asarray(RGB)),
    "grey": (PillowImage.fromarray(LEVELS), np.stack([LEVELS] * 3, axis=-1)),
    "one bit": (PillowImage.new("1", (2, 2), 1), np.full((2, 2, 3), 255)),
    "palette": (PillowImage.new("RGB", (2, 2), (10, 20, 30)).convert("P", palette=1), None),
    "cmyk": (PillowImage.new("CMYK", (2, 2), (0, 0, 0, 0)), np.full((2, 2, 3), 255)),
    "transparent": (transparent(), np.full((3, 4, 3), 255)),
    "grey and transparent": (PillowImage.new("LA", (2, 2), (0, 0)), np.full((2, 2, 3), 255)),
    "sixteen bits": (PillowImage.fromarray(LEVELS.astype(np.uint16) << 8), np.stack([LEVELS] * 3, axis=-1)),
    "turned by a quarter": (turned(RGB, 6), np.rot90(np.asarray(RGB), -1)),
    "one pixel": (PillowImage.new("RGB", (1, 1), (7, 8, 9)), np.array([[[7, 8, 9]]])),
    "jpeg": (stored(PillowImage.new("RGB", (8, 8), "white"), format="JPEG"), np.full((8, 8, 3), 255)),
    "gif": (stored(PillowImage.new("P", (2, 2), 0), format="GIF"), np.zeros((2, 2, 3))),
    "webp": (stored(PillowImage.new("RGB", (4, 4), "white"), format="WEBP"), np.full((4, 4, 3), 255)),
}


@pytest.mark.parametrize("kind", READ)
def test_pictures_become_upright_rgb_of_eight_bits(kind):
    value, expected = READ[kind]
    image = read_picture(value)
    assert image.mode == "RGB"
    if expected is not None:
        assert np.array_equal(np.asarray(image), expected)


def test_a_path_is_opened(tmp_path):
    RGB.save(tmp_path / "a.png")
    for value in (tmp_path / "a.png", str(tmp_path / "a.png"), {"bytes": None, "path": str(tmp_path / "a.png")}):
        assert np.array_equal(np.asarray(read_picture(value)), np.asarray(RGB))


BROKEN = {
    "cut": stored(RGB)[:40],
    "empty": b"",
    "no picture": b"GIF is not what this is",
    "a text": "nowhere.png",
    "a number": 3,
    "nothing": None,
    "an empty mapping": {"bytes": None, "path": None},
    "a cut jpeg": stored(PillowImage.new("RGB", (64, 64), "red"), format="JPEG")[:300],
    "a folder": "/",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_picture_says_so(kind):
    with pytest.raises(PictureError, match="drop the row"):
        read_picture(BROKEN[kind])


TASK = TaskConfig("kind", "image-classification", labels=["a", "b"])
HEADS = {"kind": ImageClassificationHead}


def part_of(images, feature=None):
    features = Features({"image": feature or Image(), "kind": Value("string")})
    data = Dataset.from_dict({"image": images, "kind": ["a"] * len(images)}, features=features)
    return LabelledDataset("photos", data, [TASK], HEADS)


def test_a_damaged_picture_is_named_with_dataset_and_row():
    part = part_of([{"bytes": stored(RGB), "path": None}, {"bytes": BROKEN["cut"], "path": None}])
    collator = MultiTaskCollator(None, [TASK], HEADS, image_processor=image_processor())
    with pytest.raises(ValueError, match="Dataset 'photos', row 1: the picture cannot be read"):
        collator(part.read([0, 1]))


def test_a_missing_picture_is_named_with_dataset_and_row():
    with pytest.raises(ValueError, match="Dataset 'photos', row 1: column 'image' is null"):
        part_of([{"bytes": stored(RGB), "path": None}, None]).read([0, 1])


def test_pictures_may_be_paths(tmp_path):
    RGB.save(tmp_path / "a.png")
    part = part_of([str(tmp_path / "a.png")], Value("string"))
    batch = MultiTaskCollator(None, [TASK], HEADS, image_processor=image_processor())(part.read([0]))
    assert batch["pixel_values"].shape == (1, 3, 16, 16)
    assert set(batch) == {"pixel_values", "labels", "rows"}


def test_a_column_of_numbers_is_refused():
    with pytest.raises(ValueError, match="column 'image' must hold pictures"):
        part_of([1, 2], Value("int64"))
