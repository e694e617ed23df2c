"""The page of errors: strangers' labels and texts are text, and a browser shows it."""

import json
import re
import shutil
import subprocess

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.cli import app
from tests.encoders import tiny_encoder
from tests.trainers import make_data

pytest.importorskip("matplotlib", reason="needs the extra report")

BAD = '<script>alert("1")</script>'
TASKS = [
    TaskConfig("mood & <b>", "sentiment", labels=[BAD, "\x1b[31mgood$_"]),
    TaskConfig("slots", "token-classification", labels=["O", "B-<i>city", "I-<i>city"]),
    TaskConfig("size", "regression"),
    TaskConfig("many", "sequence-classification", labels=[f"label {i}" for i in range(40)]),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("errors")
    torch.manual_seed(2)
    model = MultiTaskModel.from_encoder(tiny_encoder(), TASKS)
    for head in model.task_heads.values():
        for parameter in head.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.5)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    rows = make_data()["snips"]
    lines = []
    for number, tokens in enumerate(rows["tokens"]):
        tags = ["B-<i>city" if word in ("paris", "rome", "film") else "O" for word in tokens]
        mood = TASKS[0].labels[number % 2]
        words = [*tokens[:-1], "<img src=x>"]
        lines.append({"tokens": words, "mood": mood, "slots": tags, "size": float(number), "many": f"label {number}"})
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    files = dict.fromkeys(("train", "validation"), str(folder / "rows.jsonl"))
    columns = {"tokens": "tokens", "mood": "mood & <b>", "slots": "slots", "size": "size", "many": "many"}
    data = {"load": {"path": "json", "data_files": files}, "columns": columns}
    recipe = {"encoder": "x", "datasets": {"<d>": data}, "training": {"use_cpu": True}}
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    return folder


def call(place, *more):
    return CliRunner().invoke(app, ["errors", str(place / "model"), str(place / "recipe.yaml"), *map(str, more)])


@pytest.fixture(scope="module")
def page(place):
    done = call(place, "-o", place / "errors.html")
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.stdout
    return (place / "errors.html").read_text(encoding="utf-8")


def test_page_shows_every_task_and_nothing_of_strangers_is_markup(page):
    assert re.findall("<h2>(.*?)</h2>", page) == ["Tasks", "mood &amp; &lt;b&gt;", "slots", "size", "many"]
    for words in ("Rows with the highest loss", "What is taken for what", "Entities missed and made up", "Scores"):
        assert words in page
    assert "What is taken for what most" in page  # of 40 labels
    assert not re.search(r"<(script|img|link|iframe|i|b)\b", page)
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page
    ids = re.findall(r'\bid="(.*?)"', page)
    assert len(ids) == len(set(ids))


def test_tables_hold_all_wrong_rows(place):
    for ending, read in ((".csv", pd.read_csv), (".parquet", pd.read_parquet)):
        assert call(place, "-o", place / f"all{ending}", "--tasks", "many,slots").exit_code == 0
        table = read(place / f"all{ending}")
        assert set(table["task"]) <= {"many", "slots"}
        assert len(table) > 10
    assert call(place, "-o", place / "all.jsonl").exit_code == 0
    lines = (place / "all.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["dataset"] for line in lines} == {"<d>"}
    assert call(place, "-o", place / "all.txt").exit_code == 2


def test_a_browser_shows_it_without_a_complaint(page, tmp_path):
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium on this machine")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    logging = ["--enable-logging=stderr", "--disable-background-networking", "--dump-dom"]
    address = (tmp_path / "page.html").as_uri()
    done = subprocess.run([browser, *options, *logging, address], check=True, capture_output=True, timeout=120)
    assert b"CONSOLE" not in done.stderr
    assert done.stdout.count(b"<svg") == page.count("<svg")
