"""Run as a process by test_hub.py: pushes of every kind, in one process since starting one takes seconds.

Writes what came of each to ``report.json`` in the folder that it is given.
"""

import json
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import torch
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments
from hf_mtl.hub import push_folder
from hf_mtl.surgery import rename_head
from tests.conftest import make_tokenizer
from tests.encoders import tiny_encoder
from tests.trainers import TASKS, make_data

FOLDER = Path(sys.argv[1]) if __name__ == "__main__" else Path()  # doctests import all modules
REPORT = {}
BUSY = "Cannot create repo: another conflicting operation is in progress"
INPUTS = {
    "input_ids": torch.tensor([[2, 7, 9, 3], [2, 5, 3, 0]]),
    "attention_mask": torch.tensor([[1] * 4, [1, 1, 1, 0]]),
}


def server(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{constants.ENDPOINT}{path}", data=data)) as answer:
        return json.loads(answer.read() or b"null")


def save_logits(model, name):
    model.eval()
    with torch.no_grad():
        torch.save(dict(model(**INPUTS).logits), FOLDER / f"{name}.pt")


#: What a training keeps beside its weights and its optimizer: what a balancer learned, averages of the weights.
BY_NAME = {"balancing": "dwa", "average": {"kind": "ema", "decay": 0.9}}


def make_trainer(name, tasks=TASKS, data=None, **kwargs):
    torch.manual_seed(1)
    kwargs = {"num_train_epochs": 1, "precision": "float32", **kwargs}
    args = MultiTaskTrainingArguments(
        str(FOLDER / "secret-place" / name), use_cpu=True, disable_tqdm=True, run_name="secret-run", **kwargs
    )
    # Loaded from a folder, whose name the config then holds.
    tiny_encoder().save_pretrained(FOLDER / "secret-place" / "encoder")
    model = MultiTaskModel.from_encoder(FOLDER / "secret-place" / "encoder", tasks)
    data = make_data() if data is None else data
    return MultiTaskTrainer(model, args, data, data, make_tokenizer())


def pushes():
    trainer = make_trainer("assistant")
    trainer.train()
    trainer.save_metrics("eval", trainer.evaluate())
    trainer.push_to_hub(language="en", license="apache-2.0", tags="demo")
    save_logits(trainer.model, "first")
    model = trainer.model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.01)
    save_logits(model, "second")
    info = model.push_to_hub("anna/assistant", revision="v2", tokenizer=make_tokenizer(), commit_message="Second")
    REPORT["second"] = info.oid
    for old, new in (("intent", "score (0-5)"), ("slots", "C:\\x"), ("mood", "a.b/[c"), ("similarity", " keys\n😀")):
        rename_head(model, old, new)
    save_logits(model, "named")
    model.push_to_hub("anna/named", tokenizer=make_tokenizer(), self_contained=True)
    for old, task in zip(list(model.task_heads), TASKS, strict=True):
        rename_head(model, old, task.name)
    # A private repository, with shards first and then without: no old shard may stay.
    model.push_to_hub("sharded", private=True, tokenizer=make_tokenizer(), max_shard_size=40_000)
    REPORT["sharded"] = HfApi().list_repo_files("anna/sharded")
    model.push_to_hub("sharded", tokenizer=make_tokenizer())
    REPORT["whole"] = HfApi().list_repo_files("anna/sharded")
    model.push_to_hub("anna/alone", tokenizer=make_tokenizer(), self_contained=True)
    before = len(server("/_log"))
    model.push_to_hub("anna/alone", tokenizer=make_tokenizer(), self_contained=True)
    REPORT["again"] = [entry[:2] for entry in server("/_log")[before:] if entry[0] in ("PUT", "POST")]


def strategies():
    for strategy in ("every_save", "checkpoint", "all_checkpoints", "end"):
        kwargs = {"push_to_hub": True, "hub_strategy": strategy, "hub_model_id": f"anna/{strategy}", **BY_NAME}
        trainer = make_trainer(strategy, save_steps=2, save_total_limit=1, hub_always_push=True, **kwargs)
        trainer.train()
        REPORT[strategy] = HfApi().list_repo_files(f"anna/{strategy}")
        left = FOLDER / "secret-place" / strategy / "_pushed"
        REPORT[f"{strategy} left"] = [path.name for path in left.iterdir()] if left.exists() else []
    # Without what a push leaves out, a checkpoint from the Hub is still one to resume from.
    folder = HfApi().snapshot_download("anna/checkpoint", local_dir=FOLDER / "downloaded")
    pushed = Path(folder) / "last-checkpoint"
    here = FOLDER / "secret-place" / "checkpoint" / "checkpoint-6"
    REPORT["not pushed"] = sorted({path.name for path in here.iterdir()} - {path.name for path in pushed.iterdir()})
    trainer = make_trainer("resumed", max_steps=8, **BY_NAME)
    trainer.train(resume_from_checkpoint=str(here))
    data = make_data()
    data = {name: data[name] for name in [*data][::-1]}
    shuffled = make_trainer("shuffled", TASKS[::-1], data, max_steps=8, **BY_NAME)
    shuffled.train(resume_from_checkpoint=str(pushed))
    REPORT["resumed"] = shuffled.state.global_step
    expected, found = (dict(each.model.named_parameters()) for each in (trainer, shuffled))
    REPORT["resumed differs in"] = [name for name in expected if not torch.equal(expected[name], found[name])]
    tasks = [replace(task, labels=task.labels[::-1]) if task.name == "mood" else task for task in TASKS]
    try:
        make_trainer("relabelled", tasks, max_steps=8, **BY_NAME).train(resume_from_checkpoint=str(pushed))
    except ValueError as error:
        REPORT["relabelled"] = str(error)


def faults():
    """Try one push under each fault; say what it came to, how long it took and what the repository holds then."""
    folder = FOLDER / "to-push"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# x\n")
    # More than the connection's buffers hold, or the cut would come after all was sent.
    (folder / "model.safetensors").write_bytes(
        b"\0" + torch.randint(256, (2**22,), dtype=torch.uint8).numpy().tobytes()
    )
    trials = {
        "401": [{"path": "/commit/", "status": 401, "times": 99}],
        "409": [{"path": "/repos/create", "status": 409, "times": 2, "message": BUSY}],
        "429": [{"path": "/commit/", "status": 429, "headers": {"Retry-After": "1"}}],
        "429 on create": [{"path": "/repos/create", "status": 429, "headers": {"Retry-After": "1"}}],
        "500": [{"path": "/commit/", "status": 500, "times": 2}],
        "500 for ever": [{"path": "/commit/", "status": 500, "times": 99}],
        "upload cut": [{"method": "PUT", "path": "/_lfs/", "cut": 1_000_000}],
        "commit cut": [{"path": "/commit/", "cut": 100}],
        "metadata": [],
    }
    for name, asked in trials.items():
        repo = f"anna/fault-{name.replace(' ', '-')}"
        text = "license: [1]" if name == "metadata" else "license: mit"
        (folder / "README.md").write_text(f"---\n{text}\n---\n# {name}\n")
        # Each repository its own weights, or the server would have them already.
        (folder / "model.safetensors").write_bytes(name.encode() + (folder / "model.safetensors").read_bytes())
        server("/_faults", asked)
        REPORT[f"fault {name}"] = attempt(folder, repo)
        server("/_faults", [])
        REPORT[f"fault {name}"]["files"] = listed(repo)
    # The client reads pieces of 10 MiB; the connection breaks in the middle of the second.
    content = torch.randint(256, (12 * 2**20,), dtype=torch.uint8).numpy().tobytes()
    (folder / "README.md").unlink()
    (folder / "model.safetensors").write_bytes(content)
    attempt(folder, "anna/large")
    server("/_faults", [{"method": "GET", "path": "/_cdn/", "cut": 11 * 2**20}])
    path = hf_hub_download("anna/large", "model.safetensors")
    REPORT["download cut"] = {
        "ranges": [entry[3] for entry in server("/_log") if len(entry) > 3],
        "is whole": Path(path).read_bytes() == content,
    }


def attempt(folder, repo):
    from hf_mtl.hub import create_repo

    start = time.monotonic()
    try:
        create_repo(repo)
        push_folder(folder, repo)
    except (OSError, ValueError) as error:
        outcome = f"{type(error).__name__}: {error}"
    else:
        outcome = "pushed"
    return {"outcome": outcome, "seconds": time.monotonic() - start}


def listed(repo):
    try:
        return HfApi().list_repo_files(repo)
    except HfHubHTTPError as error:
        return str(error.response.status_code)


if __name__ == "__main__":
    for part in [globals()[name] for name in sys.argv[2:]] or (pushes, strategies, faults):
        part()
    (FOLDER / "report.json").write_text(json.dumps(REPORT))
