"""Pushes and loads, with the real client, against a server of our own on the loopback."""

import hashlib
import json
import re

import pytest

from tests.hub import ROOT, serving
from tests.hub_server import check_metadata

_LOAD = """
import json, sys
from pathlib import Path
import torch
from transformers import AutoModel, AutoTokenizer, pipeline
from hf_mtl import MultiTaskConfig, MultiTaskModel, predict

folder = Path(sys.argv[1])
ids = torch.tensor([[2, 7, 9, 3], [2, 5, 3, 0]])

def same(model, name):
    saved = torch.load(folder / f"{name}.pt")
    with torch.no_grad():
        found = model(input_ids=ids, attention_mask=ids.ne(0).long()).logits
    return all(torch.equal(found[task], saved[task]) for task in saved)

first = MultiTaskModel.from_pretrained("anna/assistant")
turned = MultiTaskConfig.from_pretrained("anna/assistant")
turned.tasks = turned.tasks[::-1]
report = {
    "turned": same(MultiTaskModel.from_pretrained("anna/assistant", config=turned), "first"),
    "first": same(first, "first"),
    "second": same(MultiTaskModel.from_pretrained("anna/assistant", revision="v2"), "second"),
    "by commit": same(MultiTaskModel.from_pretrained("anna/assistant", revision=sys.argv[2]), "second"),
    "auto": same(AutoModel.from_pretrained("anna/assistant"), "first"),
    "named": same(MultiTaskModel.from_pretrained("anna/named"), "named"),
    "code is local": type(AutoModel.from_pretrained("anna/alone", trust_remote_code=True)) is MultiTaskModel,
    "answer": list(predict(first, AutoTokenizer.from_pretrained("anna/assistant"), ["play a good song"]))[0],
    "pipeline": pipeline("multi-task", model="anna/assistant")("play a good song"),
    "sidecar": first.push_to_hub("anna/copy").oid,
}
print(json.dumps(report))
"""

_ALONE = """
import json, sys
sys.modules["hf_mtl"] = None  # what import then does is what it does where it is not installed
from pathlib import Path
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

folder = Path(sys.argv[1])
ids = torch.tensor([[2, 7, 9, 3], [2, 5, 3, 0]])
saved = torch.load(folder / "second.pt")
model = AutoModel.from_pretrained("anna/alone", trust_remote_code=True)
with torch.no_grad():
    found = model(input_ids=ids, attention_mask=ids.ne(0).long()).logits
report = {"same": all(torch.equal(found[task], saved[task]) for task in saved), "module": type(model).__module__}
# Saved and loaded once more, still without the package.
model.save_pretrained(folder / "again")
again = AutoModel.from_pretrained(folder / "again", trust_remote_code=True)
report["again"] = all(torch.equal(p, q) for p, q in zip(model.parameters(), again.parameters()))
for name, call in {
    "plain": lambda: AutoModel.from_pretrained("anna/assistant"),
    "push": lambda: model.push_to_hub("anna/other"),
}.items():
    try:
        call()
        report[name] = "worked"
    except (ImportError, ValueError, OSError) as error:
        report[name] = f"{type(error).__name__}: {error}"
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture(scope="module")
def report(hub):
    done = hub.run(ROOT / "tests" / "hub_pushes.py", hub.folder)
    assert done.returncode == 0, done.stderr
    return json.loads((hub.folder / "report.json").read_text())


@pytest.fixture(scope="module")
def loaded(hub, report):
    done = hub.run("-c", _LOAD, hub.folder, report["second"])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def alone(hub, report):
    done = hub.run("-c", _ALONE, hub.folder, PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def text_of(hub, repo, name, revision="main"):
    (entry,) = hub.ask(f"/api/models/{repo}/paths-info/{revision}", {"paths": [name]})
    blobs = {hashlib.sha1(b"blob %d\0" % len(b) + b).hexdigest(): b for b in map(read, hub.folder.glob("blobs/*"))}
    return blobs[entry["oid"]].decode()


def read(path):
    return path.read_bytes()


def test_trainer_pushes_model_tokenizer_card_arguments_and_metrics(hub, report):
    expected = {".gitattributes", "README.md", "config.json", "model.safetensors", "training_args.json"}
    expected |= {"tokenizer.json", "tokenizer_config.json", "eval_results.json", "all_results.json"}
    assert set(hub.files("anna/assistant")) == expected


def test_pushed_model_answers_the_same_in_a_new_process(loaded):
    assert loaded["turned"]
    assert loaded["first"]
    assert loaded["auto"]
    assert set(loaded["answer"]) == {"intent", "slots", "mood", "similarity"}
    assert loaded["pipeline"] == loaded["answer"]


def test_second_revision_is_loaded_by_branch_and_by_commit_and_leaves_the_first(loaded):
    assert loaded["first"]
    assert loaded["second"]
    assert loaded["by commit"]
    assert loaded["named"]


def test_model_loaded_by_name_takes_tokenizer_and_card_along(hub, loaded):
    assert {"tokenizer.json", "README.md"} <= set(hub.files("anna/copy"))
    card = text_of(hub, "anna/copy", "README.md")
    assert "license: apache-2.0" in card
    assert 'from_pretrained("anna/copy")' in card
    assert 'from_pretrained("anna/assistant")' not in card


def test_self_contained_model_runs_without_the_package_bit_for_bit(alone):
    assert alone["same"]
    assert alone["module"].startswith("transformers_modules.")
    assert alone["again"]


def test_installed_package_goes_before_the_code_of_a_repository(loaded):
    assert loaded["code is local"]


def test_without_the_package_a_plain_repository_says_that_its_type_is_not_known(alone):
    assert alone["plain"].startswith("ValueError")
    assert "multi-task" in alone["plain"]
    assert alone["push"].startswith("MissingExtraError")
    assert "pip install hf-mtl" in alone["push"]


def test_card_names_the_package_that_loads_it(hub, report):
    card = text_of(hub, "anna/assistant", "README.md")
    assert "pip install hf-mtl" in card
    assert 'pipeline("multi-task", model="anna/assistant")' in card
    assert check_metadata(card) == ([], [])
    assert "trust_remote_code=True" not in card
    assert "trust_remote_code=True" in text_of(hub, "anna/alone", "README.md")


def test_nothing_pushed_names_a_place_of_this_machine(hub, report, loaded):
    for blob in hub.folder.glob("blobs/*"):
        content = blob.read_bytes()
        for word in (str(hub.folder), "secret-place", "secret-run", hub.folder.name, "/home/", str(ROOT)):
            assert word.encode() not in content, (word, content[:200])


def test_shards_of_an_earlier_push_do_not_stay(report):
    assert "model.safetensors.index.json" in report["sharded"]
    assert not [name for name in report["whole"] if "-of-" in name or "index" in name]
    assert "model.safetensors" in report["whole"]


def test_private_repository_is_private(hub, report):
    assert hub.ask("/api/models/anna/sharded")["private"]


def test_unchanged_push_sends_no_weights_and_makes_no_commit(report):
    assert not [path for method, path in report["again"] if method == "PUT" or "/commit/" in path]


@pytest.mark.parametrize("strategy", ["every_save", "checkpoint", "all_checkpoints", "end"])
def test_hub_strategies_push_what_they_say(report, strategy):
    files = report[strategy]
    state = {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "model.safetensors", "config.json"}
    state |= {"trained_on.json", "parameter_names.json", "balancer.json", "averaging.safetensors"}
    folders = {name.partition("/")[0] for name in files if "/" in name}
    expected = {"checkpoint": {"last-checkpoint"}, "all_checkpoints": {"checkpoint-2", "checkpoint-4", "checkpoint-6"}}
    assert folders == expected.get(strategy, set())
    for folder in folders:
        assert state <= {name.partition("/")[2] for name in files if name.startswith(f"{folder}/")}
    assert ("model.safetensors" in files) == (strategy != "end")  # 'end' waits for trainer.push_to_hub()
    assert not [name for name in files if "_unfinished" in name or "training_args.bin" in name]
    assert report[f"{strategy} left"] == []


def test_checkpoint_from_the_hub_is_resumed_by_name_as_the_one_that_was_pushed(report):
    assert report["resumed"] == 8
    assert report["resumed differs in"] == []
    assert "task 'mood' has labels" in report["relabelled"]
    assert report["not pushed"] == ["training_args.bin"]  # a pickle, which names folders


def outcome(report, name):
    found = report[f"fault {name}"]
    return found["outcome"], found["files"], found["seconds"]


@pytest.mark.parametrize("fault", ["409", "429", "429 on create", "500", "upload cut", "commit cut"])
def test_faults_that_pass_are_waited_for(report, fault):
    told, files, _ = outcome(report, fault)
    assert told == "pushed"
    assert set(files) == {".gitattributes", "README.md", "config.json", "model.safetensors"}


def test_retry_after_is_kept_to(report):
    for fault in ("429", "429 on create"):
        assert outcome(report, fault)[2] >= 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("401", r"PermissionError: The Hub refused the push to 'anna/fault-401' \(401.*hf auth login"),
        ("500 for ever", r"OSError: The push to .* failed \(500.*Push again"),
        ("metadata", r'ValueError: Invalid metadata in README.md.*"license"'),
    ],
)
def test_faults_that_stay_are_told_and_leave_the_repository_as_it_was(report, fault, words):
    told, files, _ = outcome(report, fault)
    assert re.match(words, told, re.DOTALL), told
    assert files == [".gitattributes"]


def test_download_cut_in_the_middle_goes_on_where_it_was(report):
    assert report["download cut"] == {"ranges": [f"bytes={10 * 2**20}-"], "is whole": True}


def test_command_line_pushes_a_run_folder(hub, report):
    run = hub.folder / "secret-place" / "assistant"
    flags = ["--private", "--revision", "dev", "--self-contained", "--endpoint", "--space", "anna/page"]
    done = hub.run("-m", "hf_mtl.cli", "push", run, "anna/cli", *flags)
    assert done.returncode == 0, done.stderr
    assert re.match(r"Pushed: http://\S+/anna/cli/commit/\w{40}\nPushed: \S+/anna/page/commit/\w{40}\n", done.stdout)
    assert hub.files("anna/cli") == [".gitattributes"]
    assert "hf_mtl_model.py" in hub.files("anna/cli", "dev")
    assert "training_args.bin" not in hub.files("anna/cli", "dev")
    assert {"handler.py", "requirements.txt"} <= set(hub.files("anna/cli", "dev"))
    assert hub.files("anna/page") == [".gitattributes", "README.md", "app.py", "requirements.txt"]
    assert 'MODEL = "anna/cli"' in text_of(hub, "anna/page", "app.py")
    assert hub.ask("/api/models/anna/cli")["private"]
