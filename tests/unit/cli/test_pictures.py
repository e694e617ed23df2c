"""``hf-mtl predict`` on pictures: a folder, a file, columns of paths, URLs and bytes; one encoder or two."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoImageProcessor, AutoModel, AutoModelForImageClassification, pipeline
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.cli import app
from hf_mtl.data import read_picture
from tests.encoders import tiny_encoder
from tests.image_encoders import colours, image_processor, tiny_image_encoder

COLOUR = TaskConfig("colour", "image-classification", labels=["red", "green", "blue"])
MOOD = TaskConfig("mood", "sentiment", labels=["bad", "good"])
NAMES = ["a.png", "b.JPG", "below/c.webp"]


@pytest.fixture(scope="module")
def models(tmp_path_factory, tokenizer):
    """A model of pictures alone, and one of texts, too."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    MultiTaskModel.from_encoder(tiny_image_encoder(), [COLOUR]).save_pretrained(folder / "alone")
    encoders = {"text": tiny_encoder(), "image": tiny_image_encoder()}
    MultiTaskModel.from_encoder(encoders, [MOOD, COLOUR]).save_pretrained(folder / "both")
    for name in ("alone", "both"):
        image_processor().save_pretrained(folder / name)
    tokenizer.save_pretrained(folder / "both")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with pictures, and with other files."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "below").mkdir()
    (folder / ".hidden").mkdir()
    for name, value in zip([*NAMES, ".hidden/d.png"], colours(4)["image"], strict=True):
        read_picture(value).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / "._a.png").write_bytes(b"no picture")
    return folder


def call(*args, code=0, **kwargs):
    result = CliRunner().invoke(app, ["predict", *map(str, args)], **kwargs)
    assert result.exit_code == code, result.output
    return result


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def answers(models, photos, name="alone"):
    """Return what the pipeline answers, by the name of a picture."""
    pipe = pipeline("multi-task", model=str(models / name))
    return {name: pipe({"image": str(photos / name)})["colour"] for name in NAMES}


@pytest.mark.parametrize("name", ["alone", "both"])
def test_a_folder_is_answered_in_the_order_of_its_names(models, photos, name):
    found = lines(call(models / name, photos).stdout)
    wanted = answers(models, photos, name)
    assert found == [{"image": str(photos / name), "colour": wanted[name]} for name in NAMES]


def rows_of(photos, kind):
    """Return rows with the same pictures in a form that a file of this kind can hold."""
    if kind == "bytes.parquet":
        return [{"image": (photos / name).read_bytes(), "id": i} for i, name in enumerate(NAMES)]
    if kind == "stored.parquet":
        return [{"image": {"bytes": (photos / n).read_bytes(), "path": n}, "id": i} for i, n in enumerate(NAMES)]
    if kind == "urls.jsonl":
        return [{"image": (photos / name).as_uri(), "id": i} for i, name in enumerate(NAMES)]
    return [{"image": name, "id": i} for i, name in enumerate(NAMES)]  # beside the file


@pytest.mark.parametrize("target", ["out.jsonl", "out.csv", "out.parquet"])
@pytest.mark.parametrize("kind", ["bytes.parquet", "stored.parquet", "urls.jsonl", "paths.csv", "paths.parquet"])
def test_columns_of_paths_urls_and_bytes_give_the_same_answers(models, photos, tmp_path, kind, target):
    source, rows = photos / kind, rows_of(photos, kind)
    if kind.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(rows), source)
    elif kind.endswith("csv"):
        with source.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, ["image", "id"])
            writer.writeheader()
            writer.writerows(rows)
    else:
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    call(models / "alone", source, "-o", tmp_path / target)
    wanted = list(answers(models, photos).values())
    if target.endswith("jsonl"):
        found = lines((tmp_path / target).read_text())
        assert [row["colour"] for row in found] == wanted
        shown = [f"<{len(row['image']):,} bytes>" if kind == "bytes.parquet" else row["image"] for row in rows]
        assert [row["image"] for row in found] == [s["path"] if isinstance(s, dict) else s for s in shown]
    elif target.endswith("csv"):
        with (tmp_path / target).open(newline="") as stream:
            found = list(csv.DictReader(stream))
        assert [row["colour.label"] for row in found] == [answer["label"] for answer in wanted]
        assert [row["id"] if kind != "urls.jsonl" else str(json.loads(row["fields"])["id"]) for row in found] == list(
            "012"
        )
    else:
        found = pq.read_table(tmp_path / target).to_pylist()
        assert [row["colour"] for row in found] == wanted
        assert [row["image"] for row in found] == [row["image"] for row in rows]


def test_rows_may_have_texts_pictures_or_both(models, photos):
    rows = [{"text": "good"}, {"photo": str(photos / "a.png")}, {"text": "bad", "photo": str(photos / "a.png")}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    found = lines(call(models / "both", "-", "--image-column", "photo", input=text).stdout)
    assert [(row["mood"] is None, row["colour"] is None) for row in found] == [
        (False, True),
        (True, False),
        (False, False),
    ]


@pytest.mark.parametrize("name", ["alone", "both"])
def test_a_task_of_pictures_leaves_as_a_stock_model_bit_for_bit(models, photos, tmp_path, name):
    arguments = ["export", str(models / name), str(tmp_path / "out"), "--to", "transformers", "--task", "colour"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "Dinov2ForImageClassification" in result.output
    stock = AutoModelForImageClassification.from_pretrained(tmp_path / "out")
    processor = AutoImageProcessor.from_pretrained(tmp_path / "out")
    pixels = processor(images=[read_picture(photos / name) for name in NAMES], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        mine = MultiTaskModel.from_pretrained(models / name)(pixel_values=pixels, tasks=["colour"]).logits["colour"]
        assert torch.equal(stock(pixel_values=pixels).logits, mine)
    [answer] = pipeline("image-classification", model=str(tmp_path / "out"))(str(photos / "a.png"), top_k=1)
    assert answer["label"] == answers(models, photos, name)["a.png"]["label"]


@pytest.mark.parametrize("modality", ["text", "image"])
def test_each_encoder_is_saved_by_its_name(models, tmp_path, modality):
    model = MultiTaskModel.from_pretrained(models / "both")
    model.save_encoder(tmp_path / "one", modality)
    wanted = model.encoders[modality].state_dict()
    loaded = AutoModel.from_pretrained(tmp_path / "one").state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in wanted.items())
    with pytest.raises(ValueError, match="the model has encoders of 'text', 'image'"):
        model.save_encoder(tmp_path / "two")
    with pytest.raises(ValueError, match="the model has encoders of 'image'"):
        MultiTaskModel.from_pretrained(models / "alone").save_encoder(tmp_path / "two", "text")


@pytest.mark.parametrize("form", [str, lambda path: path.as_uri()])
def test_one_picture_is_answered_as_a_table(models, photos, form):
    shown = call(models / "both", form(photos / "a.png")).stdout
    assert "colour" in shown
    assert "mood" not in shown


def test_bad_pictures_are_left_out_and_named(models, photos, tmp_path):
    (tmp_path / "all").mkdir()
    for name in ("a.png", "b.JPG"):
        (tmp_path / "all" / name).write_bytes((photos / name).read_bytes())
    (tmp_path / "all" / "aa.png").write_bytes((photos / "a.png").read_bytes()[:60])
    (tmp_path / "all" / "ab.png").write_bytes(b"")
    failed = call(models / "alone", tmp_path / "all", "-o", tmp_path / "out.jsonl", code=2)
    assert "row 2: the picture" in failed.stderr.replace("\n", " ")
    assert not (tmp_path / "out.jsonl").exists()
    done = call(models / "alone", tmp_path / "all", "-o", tmp_path / "out.jsonl", "--on-error", "skip")
    assert [row["image"][-5:] for row in lines((tmp_path / "out.jsonl").read_text())] == ["a.png", "b.JPG"]
    assert "2 of 4 rows were left out" in done.stderr


WRONG = {
    "a missing picture": (["both", "nowhere.png"], "nowhere.png: no such file"),
    "an empty folder": (["both", "EMPTY"], "no pictures in it"),
    "an encoding of pictures": (["both", "PHOTOS", "--encoding", "cp1252"], "--encoding would be without effect"),
    "a column of a folder": (["both", "PHOTOS", "--image-column", "x"], "--image-column would be without effect"),
    "pictures for a task of texts": (["both", "PHOTOS", "--tasks", "mood"], "read no pictures"),
    "a text column of pictures": (["alone", "-", "--text-column", "x"], "--text-column would be without effect"),
    "a row without a picture": (["alone", "-"], "no 'image'. Fields: 'a'. --image-column names another"),
    "a number for a picture": (["both", "-", "--image-column", "a"], "'a' must be the path of a picture, found 1"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_mistakes_are_named(models, photos, tmp_path, kind):
    (name, source, *flags), message = WRONG[kind]
    source = {"EMPTY": str(tmp_path), "PHOTOS": str(photos)}.get(source, source)
    result = call(models / name, source, *flags, code=2, input='{"a": 1}\n')
    assert message in " ".join(result.stderr.split())


def test_a_model_of_pictures_alone_takes_paths_as_strings(models, photos):
    pipe = pipeline("multi-task", model=str(models / "alone"))
    wanted = answers(models, photos)
    paths = [photos / name for name in NAMES]
    assert pipe(str(paths[0])) == {"colour": wanted["a.png"]}
    assert pipe([str(path) for path in paths]) == [{"colour": answer} for answer in wanted.values()]
    both = pipeline("multi-task", model=str(models / "both"))
    assert both(paths[0])["mood"] is None
    assert [row["colour"] is None for row in both([paths[0], str(paths[0])])] == [False, True]
