"""Masked language modelling beside other tasks: what is masked, what is tied, what is answered."""

import copy
import json
import math
from dataclasses import replace

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, BertForMaskedLM, pipeline

from hf_mtl import MultiTaskModel, MultiTaskTrainer, TaskConfig, predict
from hf_mtl.data import LabelledDataset, MultiTaskCollator, Row
from hf_mtl.heads import AnswerOptions, MaskedLmHead, MaskedLmOptions, head_class
from hf_mtl.inference import make_answerer
from hf_mtl.recipe import Recipe, RecipeError
from hf_mtl.surgery import add_head, drop_head, merge_models, rename_head
from tests.conftest import make_tokenizer
from tests.encoders import tiny_config, tiny_encoder
from tests.ranks import arguments, run_on_ranks
from tests.trainers import TASKS, WORDS, make_data, model_without_dropout
from tests.unit.trainer.test_ranks import FirstGradients
from tests.unit.trainer.test_resuming import Digests, assert_equal

MLM = TaskConfig("mlm", "masked-lm")
MOOD = TASKS[2]
TOKENIZER = make_tokenizer()
SPECIAL = set(TOKENIZER.all_special_ids)
texts = st.lists(st.sampled_from([*WORDS, "boring", "x!", "[MASK]", "\N{SNOWMAN}"]), max_size=20).map(" ".join)


@pytest.fixture
def model():
    torch.manual_seed(3)
    return MultiTaskModel.from_encoder(tiny_encoder(), [MOOD, MLM])


@pytest.fixture
def raw():
    return {"sst": make_data()["sst"], "raw": Dataset.from_dict({"mlm": [" ".join(t) for t in texts_of(24)]})}


def texts_of(count):
    return make_data(-(-count // 24))["snips"]["tokens"][:count]


def collator_of(seed=0, **options):
    task = replace(MLM, options=options)
    return MultiTaskCollator(TOKENIZER, [task], {"mlm": MaskedLmHead}, max_length=32, seed=seed)


def masked(text, seed=0, index=0, drawn=0, **options):
    """Return the ids of a text before and after masking, its labels, and the words of its tokens."""
    collator = collator_of(seed, **options)
    row = Row("raw", index, text, labels={"mlm": text}, drawn=drawn)
    before, words = collator.encode([row])
    batch = collator([row])
    return before["input_ids"][0], batch["input_ids"][0], batch["labels"]["mlm"][0], words[0].word_ids


# What is masked


@given(texts, st.integers(0, 5), st.booleans(), st.sampled_from([0.05, 0.15, 0.5]))
def test_labels_hold_what_stood_there_and_special_tokens_are_never_chosen(text, drawn, whole_word, share):
    before, after, labels, _ = masked(text, drawn=drawn, whole_word=whole_word, mask_probability=share)
    chosen = labels.ne(-100)
    assert torch.equal(labels[chosen], before[chosen])
    assert torch.equal(after[~chosen], before[~chosen])
    ordinary = [i for i in before.tolist() if i not in SPECIAL]
    assert not SPECIAL & set(before[chosen].tolist())
    assert not SPECIAL - {TOKENIZER.mask_token_id} & set(after[chosen].tolist())
    if whole_word:
        assert bool(chosen.any()) == bool(ordinary)
    else:
        count = int(chosen.sum())
        assert count == 0 if not ordinary else count == 1 or abs(count - share * len(ordinary)) < 1


@given(texts, st.integers(0, 3))
def test_whole_words_are_chosen_whole(text, drawn):
    before, _, labels, words = masked(text, drawn=drawn, whole_word=True, mask_probability=0.4)
    by_word = {}
    for token, label, word in zip(before.tolist(), labels.tolist(), words, strict=True):
        if word is not None and token not in SPECIAL:
            by_word.setdefault(word, set()).add(label != -100)
    assert all(len(kinds) == 1 for kinds in by_word.values())


def test_a_word_longer_than_the_share_is_chosen_all_the_same():
    _, _, labels, words = masked("boring", whole_word=True)
    assert int(labels.ne(-100).sum()) == sum(word is not None for word in words) > 1


def test_the_mask_is_a_function_of_seed_and_draw_alone():
    text = " ".join(WORDS)
    first = masked(text, seed=1, index=7, drawn=2)
    alone = collator_of(1)([Row("other name", 7, text, labels={"mlm": text}, drawn=2)])
    row = Row("raw", 7, text, labels={"mlm": text}, drawn=2)
    among = collator_of(1)([Row("raw", 1, "a", labels={"mlm": "a"}, drawn=0), row])
    assert torch.equal(alone["labels"]["mlm"][0], first[2])
    assert torch.equal(among["labels"]["mlm"][1], first[2])
    others = [
        masked(text, seed=1, index=7, drawn=3),
        masked(text, seed=2, index=7, drawn=2),
        masked(text, seed=1, drawn=2),
    ]
    assert all(not torch.equal(other[2], first[2]) for other in others)


def test_a_text_that_is_not_drawn_has_one_mask_whatever_the_seed():
    text = " ".join(WORDS)
    assert torch.equal(masked(text, seed=1, drawn=None)[1], masked(text, seed=2, drawn=None)[1])
    assert not torch.equal(masked(text, drawn=None)[1], masked(text, drawn=None, index=1)[1])


def test_shares_of_masks_random_tokens_and_the_same_are_80_10_10():
    kinds = torch.zeros(3)
    tokens = 0
    for drawn in range(300):
        before, after, labels, _ = masked(" ".join(WORDS), drawn=drawn)
        chosen = labels.ne(-100)
        tokens += sum(i not in SPECIAL for i in before.tolist())
        is_mask, is_same = after[chosen].eq(TOKENIZER.mask_token_id), after[chosen].eq(before[chosen])
        kinds += torch.stack([is_mask.sum(), (~is_mask & ~is_same).sum(), is_same.sum()])
    total = float(kinds.sum())
    assert total / tokens == pytest.approx(0.15, abs=0.01)
    assert (kinds / total).tolist() == pytest.approx([0.8, 0.1, 0.1], abs=0.04)


def test_a_row_with_another_label_is_refused_and_one_without_text_to_mask_is_an_ordinary_row():
    heads = {task.name: head_class(task) for task in (MOOD, MLM)}
    data = {"text": ["a film", None, "b"], "mood": ["good", None, "bad"], "mlm": [None, "a play", None]}
    rows = LabelledDataset("d", Dataset.from_dict(data), [MOOD, MLM], heads).read([0, 1, 2])
    assert [(row.text, row.labels) for row in rows[:2]] == [("a film", {"mood": "good"}), ("a play", {"mlm": "a play"})]
    both = Dataset.from_dict({"text": ["a"], "mood": ["good"], "mlm": ["b"]})
    with pytest.raises(
        ValueError, match=r"Dataset 'd', row 0: its text is masked for task 'mlm', and 'mood' would learn"
    ):
        LabelledDataset("d", both, [MOOD, MLM], heads).read([0])
    with pytest.raises(ValueError, match="row 0: column 'mlm' is null, and there is no other input"):
        LabelledDataset("d", Dataset.from_dict({"mlm": [None, "a"]}), [MOOD, MLM], heads).read([0])
    with pytest.raises(ValueError, match="column 'mlm' must hold strings"):
        LabelledDataset("d", Dataset.from_dict({"mlm": [1]}), [MOOD, MLM], heads)


def test_wrong_options_and_fields_are_refused():
    with pytest.raises(ValueError, match=r"mask_probability must be a number in \(0, 1\), found 0"):
        head_class(replace(MLM, options={"mask_probability": 0}))
    with pytest.raises(ValueError, match="takes no labels: its labels are the tokenizer's vocabulary"):
        head_class(replace(MLM, labels=("a", "b")))
    assert MaskedLmHead.options(MLM) == MaskedLmOptions(0.15, False)


def test_a_tokenizer_without_a_mask_token_is_refused(model):
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.mask_token = None
    with pytest.raises(ValueError, match=r"Task 'mlm': .* has no mask token"):
        MultiTaskCollator(tokenizer, [MLM], {"mlm": MaskedLmHead})
    with pytest.raises(ValueError, match=r"Task 'mlm' fills mask tokens, and .* has none"):
        list(predict(model, tokenizer, ["a"]))


# What is tied


def assert_same(one, two, rtol=0.0):
    inputs = TOKENIZER(["a [MASK] film", "paris"], padding=True, return_tensors="pt")
    with torch.no_grad():
        first, second = one(**inputs).logits, two(**inputs).logits
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=rtol, atol=rtol)


def test_the_vocabulary_is_one_parameter_of_the_encoder(model, tmp_path):
    size = model.config.get_text_config().vocab_size
    long = [n for n, p in model.named_parameters(remove_duplicate=False) if p.dim() == 2 and size in p.shape]
    assert long == ["encoder.embeddings.word_embeddings.weight"]
    model.save_pretrained(tmp_path)
    assert sorted(load_file(tmp_path / "model.safetensors")) == sorted(model.state_dict())
    assert_same(MultiTaskModel.from_pretrained(tmp_path), model)
    assert_same(copy.deepcopy(model), model)
    copied = copy.deepcopy(model)
    with torch.no_grad():
        copied.get_input_embeddings().weight.zero_()
        inputs = TOKENIZER(["a"], return_tensors="pt")
        bias = copied.task_heads["mlm"].classifier.stock.cls.predictions.bias
        assert torch.equal(copied(**inputs).logits["mlm"][0, 0], bias)


def test_both_uses_of_the_embeddings_add_to_their_gradient(model):
    labels = torch.tensor([[-100, 9, -100]])
    model(input_ids=torch.tensor([[2, 4, 3]]), labels={"mlm": labels}).loss.backward()
    gradient = model.get_input_embeddings().weight.grad
    # Rows that are no input are still outputs, which all compete with the right one.
    assert bool(gradient[50].any())
    assert bool(gradient[4].any())


def test_the_vocabulary_is_resized_and_saved(model, tmp_path):
    torch.nn.init.normal_(model.task_heads["mlm"].classifier.stock.cls.predictions.bias)
    before = copy.deepcopy(model)
    size = model.config.get_text_config().vocab_size
    model.resize_token_embeddings(size + 5)
    inputs = TOKENIZER(["a [MASK] film"], return_tensors="pt")
    with torch.no_grad():
        assert model(**inputs).logits["mlm"].shape == (1, 5, size + 5)
        torch.testing.assert_close(model(**inputs).logits["mlm"][..., :size], before(**inputs).logits["mlm"])
    model.save_pretrained(tmp_path)
    assert_same(MultiTaskModel.from_pretrained(tmp_path), model)


def test_the_embeddings_learn_at_the_encoders_rate_and_once(build, model, raw):
    trainer = build(model, raw, raw, learning_rate=1e-3)
    optimizer = trainer.create_optimizer()
    rates = [(id(p), group["lr"]) for group in optimizer.param_groups for p in group["params"]]
    embeddings = [rate for key, rate in rates if key == id(model.get_input_embeddings().weight)]
    bias = [rate for key, rate in rates if key == id(model.task_heads["mlm"].classifier.stock.cls.predictions.bias)]
    assert (embeddings, bias) == ([1e-3], [1e-2])
    assert len(rates) == len(set(rates)) == len(list(model.parameters()))


def test_a_frozen_head_leaves_the_embeddings_free_and_a_frozen_encoder_holds_them(model):
    model.freeze(heads=["mlm"])
    assert model.get_input_embeddings().weight.requires_grad
    model.unfreeze()
    model.freeze(encoder=True)
    model(input_ids=torch.tensor([[2, 4, 3]]), labels={"mlm": torch.tensor([[-100, 9, -100]])}).loss.backward()
    assert model.get_input_embeddings().weight.grad is None
    assert all(p.grad is not None for p in model.task_heads["mlm"].parameters())


def test_heads_are_moved_between_models(model):
    moved = copy.deepcopy(model)
    rename_head(moved, "mlm", "filled")
    drop_head(moved, "mood")
    alone = copy.deepcopy(model)
    drop_head(alone, "mlm")
    merged = merge_models([alone, moved])
    rename_head(merged, "filled", "mlm")
    assert_same(merged, model)
    torch.manual_seed(1)
    add_head(alone, MLM)
    assert list(alone.task_heads) == ["mood", "mlm"]


# Where heads come from and go to


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta"])
def test_a_pretrained_head_is_loaded_and_leaves_as_it_came(tmp_path, family):
    torch.manual_seed(8)
    stock = AutoModelForMaskedLM.from_config(tiny_config(family)).eval()
    for parameter in stock.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    stock.save_pretrained(tmp_path / "stock")
    model = MultiTaskModel.from_encoder(tmp_path / "stock", [MOOD, MLM], unpad=False)
    ids = torch.tensor([[2, 4, 9, 3]])
    with torch.no_grad():
        expected = stock(input_ids=ids).logits
        assert torch.equal(model(input_ids=ids).logits["mlm"], expected)
        left = model.to_transformers("mlm")
        assert type(left) is type(stock)
        assert left.get_output_embeddings().weight is left.get_input_embeddings().weight
        assert torch.equal(left(input_ids=ids).logits, expected)
        left.save_pretrained(tmp_path / "left")
        assert torch.equal(AutoModelForMaskedLM.from_pretrained(tmp_path / "left")(input_ids=ids).logits, expected)
        back = MultiTaskModel.from_transformers({"mlm": tmp_path / "left"}, unpad=False)
        assert torch.equal(back(input_ids=ids).logits["mlm"], expected)


def test_a_head_that_is_not_tied_has_no_place(tmp_path):
    stock = BertForMaskedLM(tiny_config("bert", tie_word_embeddings=False))
    with pytest.raises(ValueError, match="last layer of its BertForMaskedLM is not tied"):
        MultiTaskModel.from_transformers({"mlm": stock})


def test_onnx_is_refused(model, tmp_path):
    pytest.importorskip("onnxruntime")
    from hf_mtl.export import export_onnx

    with pytest.raises(ValueError, match="Task 'mlm': tasks of the type 'masked-lm' have no form in ONNX"):
        export_onnx(model, TOKENIZER, tmp_path / "out")


# Logits and answers


@pytest.mark.parametrize("unpad", [True, False])
def test_logits_of_a_labelled_batch_are_those_of_masked_tokens(model, unpad):
    model.unpad = unpad
    ids = torch.tensor([[2, 4, 9, 3], [2, 4, 3, 0]])
    labels = torch.tensor([[-100, 7, -100, -100], [-100, 8, -100, -100]])
    with torch.no_grad():
        every = model(input_ids=ids, attention_mask=ids.ne(0)).logits["mlm"]
        found = model(input_ids=ids, attention_mask=ids.ne(0), labels={"mlm": labels}, tasks=["mlm"])
    size = model.config.get_text_config().vocab_size
    assert every.shape == (2, 4, size)
    assert found.logits["mlm"].shape == (2, size)
    torch.testing.assert_close(found.logits["mlm"], every[labels.ne(-100)])
    expected = torch.nn.functional.cross_entropy(every.flatten(0, 1), labels.flatten())
    torch.testing.assert_close(found.losses["mlm"], expected)


def test_answers_are_those_of_the_stock_fill_mask_pipeline(model):
    model.unpad = False
    stock = pipeline("fill-mask", model=model.to_transformers("mlm"), tokenizer=TOKENIZER)
    ours = pipeline("multi-task", model=model, tokenizer=TOKENIZER, tasks=["mlm"], top_k=3)
    for text in ("a good [MASK] in rome", "[MASK] a good [MASK] !"):
        expected = stock(text, top_k=3)
        lists = expected if isinstance(expected[0], list) else [expected]
        for found, wanted in zip(ours(text)["mlm"], lists, strict=True):
            assert [{**f, "score": 0} for f in found] == [{**w, "score": 0} for w in wanted]
            assert [f["score"] for f in found] == pytest.approx([w["score"] for w in wanted], rel=1e-5)
    view = pipeline("fill-mask", model=model.for_task("mlm"), tokenizer=TOKENIZER)
    assert view("a [MASK]", top_k=1) == [pytest.approx(filling) for filling in stock("a [MASK]", top_k=1)]
    assert ours("no mask here")["mlm"] == []
    [one] = ours("a [MASK]", top_k=1)["mlm"]
    assert [one[0]] == [pytest.approx(filling) for filling in [*predict_one(model, "a [MASK]")]]


def predict_one(model, text):
    [answer] = predict(model, TOKENIZER, [text], tasks=["mlm"])
    return answer["mlm"]


def test_masks_of_a_long_text_are_each_answered_once(model):
    text = " ".join(["[MASK]" if i % 7 == 3 else WORDS[i % len(WORDS)] for i in range(60)])
    answerer = make_answerer(
        model, TOKENIZER, max_length=16, stride=4, options=AnswerOptions(top_k=2), tasks=["mlm", "mood"]
    )
    found = list(answerer([text, "a", "[MASK]"]))
    assert [len(answer["mlm"]) for answer in found] == [text.count("[MASK]"), 0, 1]
    assert all(len(filled) == 2 for filled in found[0]["mlm"])
    assert found[0]["mlm"][1][0]["sequence"].count("[MASK]") == text.count("[MASK]") - 1
    # Windows share tokens: of a mask in two of them one answer is left, and the next text's are its own.
    [alone] = answerer(["[MASK]"])
    assert [f["token"] for f in found[2]["mlm"][0]] == [f["token"] for f in alone["mlm"][0]]
    assert [f["score"] for f in found[2]["mlm"][0]] == pytest.approx([f["score"] for f in alone["mlm"][0]], rel=1e-5)


# Training


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_resuming_equals_not_stopping(build, model, raw, tmp_path, workers):
    def digests(resume=None, **kwargs):
        found = Digests()
        kwargs = {"max_steps": 9, "per_device_train_batch_size": 8, "batching": "homogeneous", **kwargs}
        trainer = build(copy.deepcopy(model), raw, None, {"callbacks": [found]}, **kwargs)
        trainer.train(resume_from_checkpoint=resume)
        return found.weights

    expected = digests(save_steps=1)  # 5 steps an epoch
    for step in (2, 6):
        resumed = digests(
            str(tmp_path / "out" / f"checkpoint-{step}"), save_strategy="no", dataloader_num_workers=workers
        )
        assert sorted(resumed) == list(range(step + 1, 10))
        assert_equal(resumed, expected)


def test_every_epoch_masks_anew_and_the_seed_names_the_masks(build, model, raw):
    def masks(**kwargs):
        trainer = build(
            model, {"raw": raw["raw"]}, raw, {"check_data": False}, per_device_train_batch_size=24, **kwargs
        )
        loader = trainer.get_train_dataloader()
        found = []
        for epoch in range(2):
            loader.set_epoch(epoch)
            [batch] = list(loader)
            order = [tuple(row.tolist()) for row in batch["labels"]["mlm"]]
            found.append(sorted(order))
        return found

    first, second = masks(seed=1)
    assert first != second
    assert masks(seed=1) == [first, second]
    assert masks(seed=2)[0] != first


def test_evaluation_scores_fixed_masks_by_accuracy_and_perplexity(build, model, raw):
    scores = build(model, raw, raw, seed=1).evaluate()
    again = build(model, raw, raw, seed=2, per_device_eval_batch_size=3).evaluate()
    for key in ("mlm_loss", "mlm_masked_accuracy", "mlm_perplexity", "mood_loss"):
        assert scores[f"eval_{key}"] == pytest.approx(again[f"eval_{key}"], rel=1e-5)
    assert scores["eval_mlm_perplexity"] == pytest.approx(math.exp(scores["eval_mlm_loss"]))
    # By hand, with all logits of all tokens.
    rows = [Row("raw", i, text, labels={"mlm": text}) for i, text in enumerate(raw["raw"]["mlm"])]
    batch = collator_of()(rows)
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits["mlm"]
    labels = batch["labels"]["mlm"]
    right = (logits.argmax(-1) == labels)[labels.ne(-100)]
    assert scores["eval_mlm_masked_accuracy"] == pytest.approx(float(right.float().mean()))
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    assert scores["eval_mlm_loss"] == pytest.approx(float(loss), rel=1e-5)


def test_predict_answers_texts_as_they_are(build, model, raw):
    found = build(model, raw, raw).predict({"raw": raw["raw"], "sst": raw["sst"]})
    assert all(answer["mlm"] == [] for answer in found.predictions["raw"])
    assert "test_mood_loss" in found.metrics
    assert not [key for key in found.metrics if "mlm" in key]
    [answer] = build(model, raw, raw).predict(Dataset.from_dict({"text": ["a [MASK]"]})).predictions["data"]
    expected = predict_one(model, "a [MASK]")
    assert [{**f, "score": pytest.approx(f["score"])} for f in answer["mlm"]] == expected


@pytest.mark.parametrize("kwargs", [{}, {"gradient_accumulation_steps": 3}, {"balancing": "dwa"}])
def test_training_lowers_the_masked_loss(build, model, raw, kwargs):
    trainer = build(model, raw, raw, num_train_epochs=8, learning_rate=6e-3, save_strategy="no", **kwargs)
    before, _, after = trainer.evaluate(), trainer.train(), trainer.evaluate()
    assert after["eval_mlm_loss"] < before["eval_mlm_loss"] - 1


def test_a_recipe_maps_the_column_of_texts_to_the_task(encoder_folder, tmp_path):
    raw = tmp_path / "raw.jsonl"
    raw.write_text("".join(json.dumps({"body": " ".join(t)}) + "\n" for t in texts_of(20)))
    values = {
        "encoder": str(encoder_folder),
        "datasets": {"raw": {"load": {"path": "json", "data_files": str(raw)}, "columns": {"body": "mlm"}}},
        "tasks": {"mlm": {"type": "masked-lm", "options": {"whole_word": True}, "main_metric": "perplexity"}},
        "training": {"output_dir": str(tmp_path / "run"), "use_cpu": True, "max_steps": 1},
    }
    prepared = Recipe.from_dict(values).prepare()
    assert prepared.tasks == [replace(MLM, options={"whole_word": True}, main_metric="perplexity")]
    assert Recipe.from_dict(prepared.resolved()).prepare().tasks == prepared.tasks
    assert {use: len(getattr(prepared, use)["raw"]) for use in ("train", "validation")} == {
        "train": 18,
        "validation": 2,
    }
    with pytest.raises(RecipeError, match=r"datasets\.raw\.columns: no input"):
        Recipe.from_dict({**values, "tasks": {}})


# Several processes


def step_of(folder, size):
    """Train one step in float64 on texts of two tasks with one head, and on labels; return its gradients."""
    keeper = FirstGradients()
    rows = [" ".join(words) for words in texts_of(24)]
    data = {
        "raw": Dataset.from_dict({"mlm": rows[:14]}),
        "more": Dataset.from_dict({"more": rows[14:]}),
        "sst": make_data()["sst"].select(range(8)),
    }
    trainer = MultiTaskTrainer(
        model_without_dropout([MOOD, MLM, replace(MLM, name="more", tied_to="mlm")]).double(),
        arguments(folder, batching="mixed", per_device_train_batch_size=size, max_steps=1, max_grad_norm=0.0),
        data,
        None,
        TOKENIZER,
        callbacks=[keeper],
    )
    trainer.train()
    return keeper.found


_SCRIPT = """
from tests.ranks import rank_and_folder, save
from tests.unit.heads.test_masked_lm import step_of

rank, folder = rank_and_folder()
save(rank, folder, step_of(folder, 8))
"""


def test_two_processes_mask_and_learn_as_one(tmp_path):
    whole = step_of(tmp_path, 16)
    for found in run_on_ranks(2, _SCRIPT, tmp_path, allowed="did not find any unused parameters"):
        assert set(found) == set(whole)
        for name, value in whole.items():
            torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-10)
