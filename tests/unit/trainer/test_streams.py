"""Training on streams: shares, order, and resuming as for datasets in memory, and what a stream cannot do."""

import json
from collections import Counter

import pytest
import torch
from datasets import Dataset, IterableDataset, IterableDatasetDict, load_dataset
from transformers import TrainerCallback

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.data.streams import StreamReader
from tests.encoders import tiny_encoder
from tests.ranks import run_on_ranks
from tests.trainers import make_data
from tests.unit.trainer.test_resuming import Digests, assert_equal

BUFFER = 5


def numbers(shards=3, rows=7):
    def generate(shards):
        for shard in shards:
            for row in range(rows):
                yield {"text": str(shard * rows + row)}

    return IterableDataset.from_generator(generate, gen_kwargs={"shards": list(range(shards))})


def read(reader, draws):
    columns, places = reader.read(draws)
    return columns["text"], places


def make_reader(stream=None, **kwargs):
    return StreamReader("a", stream if stream is not None else numbers(), ["text"], BUFFER, **kwargs)


def test_each_pass_reads_every_row_once_in_another_order_within_blocks():
    texts, places = read(make_reader(), range(63))
    passes = [texts[start : start + 21] for start in (0, 21, 42)]
    assert all(sorted(map(int, found)) == list(range(21)) for found in passes)
    assert len({tuple(found) for found in passes}) == 3
    assert [str(number) for number, _ in places[:21]] == passes[0]
    assert [drawn for _, drawn in places] == [0] * 21 + [1] * 21 + [2] * 21
    blocks = [{int(text) // BUFFER for text in texts[i : i + BUFFER]} for i in range(0, 20, BUFFER)]
    assert blocks == [{0}, {1}, {2}, {3}]
    assert read(make_reader(seed=1), range(21))[0] != passes[0]


@pytest.mark.parametrize(
    "kind", ["generator", "table", "parquet", "json lines", "shuffled by datasets", "mapped and filtered"]
)
def test_a_reader_that_begins_at_any_state_reads_what_follows(kind, tmp_path):
    rows = [{"text": str(number)} for number in range(23)]
    Dataset.from_list(rows).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    files = {"parquet": "a.parquet", "json lines": "a.jsonl"}
    if kind in files:
        loader = "parquet" if kind == "parquet" else "json"
        stream = load_dataset(loader, data_files=str(tmp_path / files[kind]), split="train", streaming=True)
    else:
        stream = {
            "generator": numbers,
            "table": lambda: Dataset.from_list(rows).to_iterable_dataset(num_shards=2),
            "shuffled by datasets": lambda: numbers().shuffle(seed=3, buffer_size=4),
            "mapped and filtered": lambda: numbers().map(lambda row: row).filter(lambda row: row["text"] != "4"),
        }[kind]()
    whole = make_reader(stream)
    expected, _ = read(whole, range(60))
    for end in (1, 5, 6, 20, 26, 41, 59):
        reader = make_reader(stream)
        read(reader, range(end))
        state = json.loads(json.dumps(reader.state))
        assert read(make_reader(stream, state=state), range(end, 60))[0] == expected[end:], end
        if kind != "shuffled by datasets":
            assert end - state["first"] <= BUFFER


class Drawn(TrainerCallback):
    """Keeps the rows drawn of each dataset."""

    def __init__(self):
        self.rows = Counter()

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.rows.update({key.removeprefix("rows/"): n for key, n in (logs or {}).items() if key.startswith("rows/")})


def streams(*names):
    return {
        name: data.to_iterable_dataset(num_shards=2) if name in names else data for name, data in make_data().items()
    }


@pytest.mark.parametrize(("workers", "batching"), [(0, "mixed"), (2, "mixed"), (0, "homogeneous")])
def test_resumed_in_the_middle_of_a_pass_weights_are_bit_equal(build, tmp_path, workers, batching):
    def train(callback, **kwargs):
        given = {"dataloader_num_workers": workers, "batching": batching, "max_steps": 5, "stream_buffer": BUFFER}
        return build(train=streams("snips", "sst"), trainer_kwargs={"callbacks": [callback]}, **given, **kwargs)

    unbroken, resumed = Digests(), Digests()
    train(unbroken, save_steps=1).train()
    places = json.loads((tmp_path / "out" / "checkpoint-3" / "streams.json").read_text())
    assert any(place["first"] > 0 for place in places.values())
    train(resumed, save_strategy="no").train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-3"))
    assert sorted(resumed.weights) == [4, 5]
    assert_equal(resumed.weights, unbroken.weights)


@pytest.mark.parametrize("sampling", ["uniform", "fixed"])
def test_shares_are_those_of_datasets_in_memory(build, sampling):
    options = {"shares": {"snips": 0.5, "sst": 0.3, "sts": 0.2}} if sampling == "fixed" else {}
    found = []
    for data in (make_data(), streams("snips", "sts")):
        drawn = Drawn()
        given = {"sampling": sampling, "sampling_options": options, "max_steps": 6}
        build(train=data, trainer_kwargs={"callbacks": [drawn]}, **given).train()
        found.append(drawn.rows)
    assert found[0] == found[1]
    assert sum(found[0].values()) == 48


def test_rows_to_score_may_be_streamed_and_scores_are_those_of_a_dataset(build):
    scores = [build(evaluation=data).evaluate() for data in (make_data(), streams("snips", "sst", "sts"))]
    assert {k: v for k, v in scores[0].items() if "time" not in k and "per_second" not in k}.items() <= scores[
        1
    ].items()


def mood_model():
    return MultiTaskModel.from_encoder(tiny_encoder(), [TaskConfig("mood", "sentiment", labels=["bad", "good"])])


def test_one_stream_of_a_dict_of_splits_trains_alone(build):
    data = IterableDatasetDict({"train": streams("sst")["sst"], "validation": streams("sst")["sst"]})
    trainer = build(model=mood_model(), train=data, evaluation=data, max_steps=2)
    trainer.train()
    assert trainer.evaluate()["eval_mood_accuracy"] >= 0


@pytest.mark.parametrize(
    ("make", "arguments", "words"),
    [
        (lambda: streams("sst"), {}, "is a stream.*Set max_steps=N"),
        (lambda: {"a": numbers(rows=0)}, {"max_steps": 1}, "the stream has no rows"),
        (lambda: streams("sst"), {"max_steps": 1, "sampling_options": {"max_rows": {"sst": 3}}}, "stream.take"),
        (lambda: streams("sst"), {"max_steps": 1, "methods": {"mixup": {}}}, "mixup asks for rows by their number"),
        (lambda: streams("sst"), {"max_steps": 1, "stream_buffer": 0}, "stream_buffer"),
    ],
)
def test_what_a_stream_cannot_do_is_said(make, arguments, words, build):
    given = make()
    with pytest.raises(ValueError, match=words):
        build(train=given, **arguments).train()


def test_a_part_of_a_rank_is_refused(build):
    from datasets.distributed import split_dataset_by_node

    part = split_dataset_by_node(streams("sst")["sst"], rank=0, world_size=2)
    with pytest.raises(ValueError, match="Pass the whole stream"):
        build(train={"sst": part}, max_steps=1)


def test_a_wrong_row_of_a_stream_is_named_by_its_number_in_it(build):
    rows = [{"text": "good", "mood": "good"}] * 1003 + [{"text": "bad", "mood": "worst"}]
    stream = Dataset.from_list(rows).to_iterable_dataset()
    trainer = build(
        model=mood_model(), train={"sst": stream}, evaluation=None, max_steps=20, per_device_train_batch_size=64
    )
    with pytest.raises(ValueError, match=r"Dataset 'sst', row 1003, task 'mood'.*'worst'"):
        trainer.train()


_SCRIPT = """
from tests.ranks import rank_and_folder, save
from tests.unit.trainer.test_streams import on_ranks

if __name__ == "__main__":  # workers read the script again
    rank, folder = rank_and_folder()
    save(rank, folder, on_ranks(folder))
"""


def on_ranks(folder):
    """Train four steps on streams, and again from the second; rows are cut by however many ranks there are."""
    from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments
    from tests.conftest import make_tokenizer
    from tests.trainers import model_without_dropout

    found = {}
    for workers in (0, 2):
        for checkpoint in (None, folder / f"{workers}" / "checkpoint-2"):
            given = {"use_cpu": True, "disable_tqdm": True, "precision": "float32", "max_steps": 4, "save_steps": 2}
            given.update(batching="mixed", optim="sgd", stream_buffer=BUFFER, dataloader_num_workers=workers)
            given["dataloader_multiprocessing_context"] = "fork" if workers else None  # a forked rank would not fork
            args = MultiTaskTrainingArguments(str(folder / f"{workers}"), **given)
            args.per_device_train_batch_size = 8 // args.world_size
            model = model_without_dropout().double()
            trainer = MultiTaskTrainer(model, args, streams("snips", "sst"), None, make_tokenizer())
            if checkpoint is not None:
                places = json.loads((checkpoint / "streams.json").read_text())
                assert any(place["block"] > 0 for place in places.values())
            trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
            trained = {name: value.detach() for name, value in model.named_parameters()}
            found["resumed" if checkpoint else "unbroken", workers] = trained
    return found


def test_two_ranks_train_on_the_rows_of_one_and_resume_bit_equal_with_and_without_workers(tmp_path):
    one = on_ranks(tmp_path / "one")
    for found in (one, *run_on_ranks(2, _SCRIPT, tmp_path, allowed="did not find any unused parameters")):
        for (_, workers), weights in found.items():
            for name, value in weights.items():
                assert torch.equal(value, found["unbroken", 0][name]), (workers, name)
                assert torch.allclose(value, one["unbroken", 0][name], rtol=1e-7, atol=1e-9), (workers, name)
