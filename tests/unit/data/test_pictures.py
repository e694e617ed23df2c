"""Pictures of every kind: read as meant, or named with dataset and row."""

import base64
import io
import pathlib

import numpy as np
import pytest
from datasets import Dataset, Features, Image, Value
from PIL import Image as PillowImage

from hf_mtl import TaskConfig
from hf_mtl.data import LabelledDataset, MultiTaskCollator, PictureError, Row, picture_of, read_picture
from hf_mtl.heads import ImageClassificationHead
from hf_mtl_light.encoding import RowError
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


def with_exif(data):
    return stored(RGB, exif=data, format="JPEG", quality=100)


def encoded(image):
    return "data:image/png;base64," + base64.b64encode(stored(image)).decode()


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
    "sixteen bits and transparent": (
        stored(PillowImage.fromarray(LEVELS.astype(np.uint16) << 8), transparency=0),
        np.stack([LEVELS] * 3, axis=-1),
    ),
    "palette and transparent": (
        stored(PillowImage.new("P", (2, 2), 0), transparency=0),
        np.full((2, 2, 3), 255),
    ),
    "premultiplied": (PillowImage.new("RGBa", (2, 2), (0, 0, 0, 0)), np.full((2, 2, 3), 255)),
    "a colour space of video": (PillowImage.new("YCbCr", (2, 2), (255, 128, 128)), np.full((2, 2, 3), 255)),
    "an array": (np.asarray(RGB), np.asarray(RGB)),
    "a grey array": (LEVELS, np.stack([LEVELS] * 3, axis=-1)),
    "damaged orientation": (with_exif(b"Exif\0\0 nonsense"), None),
    "an orientation out of range": (turned(RGB, 77), np.asarray(RGB)),
    "several frames": (
        stored(PillowImage.new("P", (2, 2), 0), format="GIF", save_all=True, append_images=[RGB.resize((2, 2))]),
        np.zeros((2, 2, 3)),
    ),
    "a data URL": (encoded(RGB), np.asarray(RGB)),
    "as long as may be": (PillowImage.new("RGB", (200, 1)), np.zeros((1, 200, 3))),
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
    RGB.save(tmp_path / "ä b%.png")
    forms = [tmp_path / "a.png", str(tmp_path / "a.png"), {"bytes": None, "path": str(tmp_path / "a.png")}]
    for value in [*forms, (tmp_path / "ä b%.png").as_uri(), f"file://localhost{tmp_path}/a.png"]:
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
    "a path object of a folder": pathlib.Path("/"),
    "a list": [1, 2],
    "no pixels": PillowImage.new("RGB", (0, 3)),
    "a thread of pixels": PillowImage.new("RGB", (1, 201)),
    "floating-point pixels": PillowImage.new("F", (2, 2)),
    "an array of floats": np.zeros((2, 2, 3)),
    "an array of five channels": np.zeros((2, 2, 5), dtype=np.uint8),
    "a URL": "https://example.org/a.png",
    "a file elsewhere": "file://elsewhere/a.png",
    "a missing file": "file:///nowhere.png",
    "broken base64": "data:image/png;base64,???",
    "a name with a null": "a\0.png",
    "another file": __file__,
    "a cut gif": stored(PillowImage.new("P", (64, 64), 0), format="GIF")[:20],
    "a cut tiff": stored(RGB, format="TIFF")[:60],
    "a cut webp": stored(PillowImage.new("RGB", (64, 64), "red"), format="WEBP")[:30],
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_picture_says_so(kind):
    with pytest.raises(PictureError, match="drop the row"):
        read_picture(BROKEN[kind])
    row = Row("photos", 4, "", image=BROKEN[kind])
    with pytest.raises(RowError, match=r"Dataset 'photos', row 4: .*drop the row"):
        picture_of(row)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "cut.png"
    path.write_bytes(BROKEN["cut"])
    with pytest.raises(PictureError, match=r"the picture '.*cut\.png' cannot be read"):
        read_picture(str(path))


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


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        (Value("binary"), stored(RGB)),
        ({"bytes": Value("binary"), "path": Value("string")}, {"bytes": stored(RGB), "path": None}),
        ({"bytes": Value("binary")}, {"bytes": stored(RGB)}),
    ],
)
def test_pictures_may_be_bytes_that_no_feature_describes(feature, value):
    batch = MultiTaskCollator(None, [TASK], HEADS, image_processor=image_processor())(
        part_of([value], feature).read([0])
    )
    assert batch["pixel_values"].shape == (1, 3, 16, 16)


def test_a_column_of_numbers_is_refused():
    with pytest.raises(ValueError, match="column 'image' must hold pictures"):
        part_of([1, 2], Value("int64"))
