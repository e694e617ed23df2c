"""A task is exported as a stock model and comes back, with the same answers."""

import dataclasses
import warnings

import pytest
import torch
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertForNextSentencePrediction,
)

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.encoder import is_decoder_only
from hf_mtl.heads import SequenceClassificationHead
from tests.encoders import FAMILIES, tiny_config, tiny_encoder

TASKS = [
    TaskConfig("topic", "sequence-classification", labels=["x", "y", "z"]),
    TaskConfig("topics", "sequence-classification", labels=["x", "y"], problem_type="multi_label_classification"),
    TaskConfig("mood", "sentiment", labels=["bad", "fair", "good"], pooling="first"),
    TaskConfig("tags", "token-classification", labels=["O", "B-x", "I-x"]),
    TaskConfig("parts", "token-classification", labels=["NOUN", "VERB"], dropout=0.3),
    TaskConfig("value", "regression", target_mean=2.5, target_std=1.5),
]
UNLISTED = [TaskConfig("answer", "question-answering"), TaskConfig("right", "multiple-choice")]
#: Families with a stock class of either level that reads the encoder alone.
STOCK = [family for family in FAMILIES if family != "t5"]
EXACT = [task.name for task in TASKS if task.type != "regression"]
INPUTS = {
    "input_ids": torch.tensor([[2, 7, 9, 11, 3, 12, 3], [2, 5, 3, 0, 0, 0, 0], [2, 8, 12, 3, 0, 0, 0]]),
    "attention_mask": torch.tensor([[1] * 7, [1] * 3 + [0] * 4, [1] * 4 + [0] * 3]),
}
REAL = INPUTS["attention_mask"].bool()


def make(family="bert", tasks=TASKS, **kwargs):
    torch.manual_seed(1)
    encoder = tiny_encoder(family, **kwargs)
    if is_decoder_only(encoder.config) and tasks is TASKS:  # theirs is the last token
        tasks = [dataclasses.replace(task, pooling=None) for task in tasks]
    model = MultiTaskModel.from_encoder(encoder, tasks)
    for head in model.task_heads.values():  # as after training: no pooler equals another
        for parameter in head.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.2)
    model.unpad = False
    return model


def run(model):
    with torch.no_grad():
        return model(**INPUTS).logits


def assert_same_logits(found, expected, message):
    if found.dim() == 3:
        found, expected = found[REAL], expected[REAL]
    assert torch.equal(found, expected), message


@pytest.mark.parametrize("family", STOCK)
def test_saved_stock_model_has_the_logits_of_a_padded_run_bit_for_bit(family, tmp_path):
    model = make(family)
    expected = run(model)
    for name in EXACT:
        model.to_transformers(name).save_pretrained(tmp_path / name)
        is_token = model.config.task(name).type == "token-classification"
        auto = AutoModelForTokenClassification if is_token else AutoModelForSequenceClassification
        loaded, info = auto.from_pretrained(tmp_path / name, output_loading_info=True)
        assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        assert_same_logits(run(loaded), expected[name], f"{family} {name}")


@pytest.mark.parametrize("family", [family for family in STOCK if not is_decoder_only(tiny_config(family))])
def test_answers_and_choices_leave_bit_for_bit_and_come_back(family, tmp_path):
    tasks = UNLISTED if family != "deberta" else UNLISTED[:1]  # it has no class for choices
    model = make(family, tasks)
    expected = run(model)
    stock = {task.name: model.to_transformers(task.name) for task in tasks}
    stock["answer"].save_pretrained(tmp_path)
    with torch.no_grad():
        found = AutoModelForQuestionAnswering.from_pretrained(tmp_path)(**INPUTS)
        assert_same_logits(torch.stack([found.start_logits, found.end_logits], -1), expected["answer"], family)
        view = model.for_task("answer")(**INPUTS)
        assert_same_logits(view.start_logits, found.start_logits * INPUTS["attention_mask"], family)
        if "right" in stock:
            several = {name: value[None] for name, value in INPUTS.items()}
            for choosing in (stock["right"], model.for_task("right")):
                assert torch.equal(choosing(**several).logits[0], expected["right"][:, 0]), family
    back = MultiTaskModel.from_transformers(stock, unpad=False)
    assert [(task.name, task.type) for task in back.tasks] == [(task.name, task.type) for task in tasks]
    for name, logits in run(back).items():
        assert_same_logits(logits, expected[name], f"{family} {name}")


def test_choices_of_a_family_without_a_stock_class_stay():
    with pytest.raises(ValueError, match=r"'right'.*no stock form: its family has no stock class"):
        make("llama", UNLISTED[1:]).to_transformers("right")


@pytest.mark.parametrize("family", ["camembert", "convbert", "ernie", "mobilebert", "roformer", "xlm-roberta"])
def test_further_families_leave_bit_for_bit(family):
    extra = {"embedding_size": 32} if family in ("convbert", "roformer") else {}
    if family == "mobilebert":
        extra = {"embedding_size": 16, "intra_bottleneck_size": 32, "true_hidden_size": 32}
    if family in ("camembert", "xlm-roberta"):
        extra = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    model = make(family, **extra)
    expected = run(model)
    for name in EXACT:
        assert_same_logits(run(model.to_transformers(name)), expected[name], f"{family} {name}")


def test_unit_of_labels_stays_where_the_last_layer_has_no_bias():
    model = make("llama")
    with pytest.raises(ValueError, match=r"'value': a last layer with a bias was not found in LlamaFor.*target_mean=0"):
        model.to_transformers("value")


@pytest.mark.parametrize("family", [family for family in STOCK if not is_decoder_only(tiny_config(family))])
def test_regression_answers_in_the_labels_unit(family):
    model = make(family)
    stock = model.to_transformers("value")
    expected = run(model)["value"].double() * 1.5 + 2.5
    torch.testing.assert_close(run(stock).double(), expected, rtol=1e-6, atol=1e-6)
    assert stock.config.problem_type == "regression"
    assert stock.config.num_labels == 1
    with torch.no_grad():
        loss = stock(**INPUTS, labels=torch.tensor([1.0, 2.0, 3.0])).loss
    torch.testing.assert_close(loss.double(), (expected[:, 0] - torch.tensor([1.0, 2.0, 3.0])).square().mean())


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_regression_on_several_numbers_leaves_and_comes_back_each_in_its_unit(family, tmp_path):
    task = TaskConfig("mood", "regression", labels=["x", "y", "z"], target_mean=[2.5, -1, 0], target_std=[1.5, 9, 0.1])
    model = make(family, [task])
    expected = run(model)["mood"].double() * torch.tensor([1.5, 9, 0.1]) + torch.tensor([2.5, -1, 0])
    model.to_transformers("mood").save_pretrained(tmp_path)
    stock = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    torch.testing.assert_close(run(stock).double(), expected, rtol=1e-6, atol=1e-6)
    assert (stock.config.problem_type, stock.config.num_labels) == ("regression", 3)
    assert list(stock.config.id2label.values()) == ["x", "y", "z"]
    again = MultiTaskModel.from_transformers({"mood": stock})
    again.unpad = False
    assert (again.config.task("mood").type, again.config.task("mood").labels) == ("regression", ("x", "y", "z"))
    mine, theirs = (m.task_heads["mood"].predictions(run(m)["mood"], []) for m in (model, again))
    assert torch.tensor(theirs) == pytest.approx(torch.tensor(mine), rel=1e-5, abs=1e-6)


def test_config_says_what_the_task_is():
    model = make()
    topic, topics, tags = (model.to_transformers(name).config for name in ("topic", "topics", "tags"))
    assert topic.id2label == {0: "x", 1: "y", 2: "z"}
    assert topic.label2id == {"x": 0, "y": 1, "z": 2}
    assert topic.problem_type == "single_label_classification"
    assert topics.problem_type == "multi_label_classification"
    assert tags.problem_type is None
    assert tags.id2label[1] == "B-x"
    assert model.to_transformers("parts").config.classifier_dropout == 0.3
    with torch.no_grad():
        loss = model.to_transformers("topics")(**INPUTS, labels=torch.tensor([[1.0, 0], [0, 1], [1, 1]])).loss
    assert loss > 0


def test_leaving_changes_neither_the_model_nor_the_random_numbers():
    model = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    stock = model.to_transformers("topic")
    assert torch.equal(torch.rand(3), expected)
    stock.base_model.embeddings.word_embeddings.weight.data.zero_()
    assert model.encoder.config.num_labels == 2
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_half_precision_is_kept():
    model = make().bfloat16()
    stock = model.to_transformers("tags")
    assert stock.dtype == torch.bfloat16
    assert torch.equal(run(stock)[REAL], run(model)["tags"][REAL])


def test_mean_pooling_leaves_where_the_family_can():
    tasks = [TaskConfig("a", "sentiment", labels=["bad", "good"], pooling=pooling) for pooling in ("mean", "first")]
    for task in tasks:
        model = make("modernbert", [task], classifier_pooling="mean")
        assert torch.equal(run(model.to_transformers("a")), run(model)["a"]), task.pooling
    with pytest.raises(ValueError, match=r"Task 'a'.*'bert' has no stock form: it reads pooling='mean' in place of"):
        make("bert", tasks[:1]).to_transformers("a")


def test_pooling_that_a_family_does_not_do_is_found_by_comparing():
    sizes = {"vocab_size": 120, "d_model": 32, "n_layer": 1, "n_head": 4, "d_inner": 48}
    tasks = [TaskConfig("a", "sentiment", labels=["bad", "good"], pooling=pooling) for pooling in (None, "first")]
    own, first = (make_xlnet(sizes, task) for task in tasks)  # which reads the last token
    assert torch.equal(run(own.to_transformers("a")), run(own)["a"])
    with pytest.raises(ValueError, match="gives other logits than the head, since it has no form of pooling='first'"):
        first.to_transformers("a")


def make_xlnet(sizes, task):
    from transformers import XLNetConfig, XLNetModel

    torch.manual_seed(0)
    return MultiTaskModel.from_encoder(XLNetModel(XLNetConfig(**sizes)), [task]).eval()


class Own(SequenceClassificationHead):
    def forward(self, states):
        return super().forward(states) * 2


@pytest.mark.parametrize(
    ("task", "heads", "words"),
    [
        (
            TaskConfig("a", "sentiment", labels=["x", "y"], options={"loss": "ordinal"}),
            {},
            "thresholds of loss='ordinal'",
        ),
        (TaskConfig("a", "own", labels=["x", "y"]), {"own": Own}, "no form of what Own computes"),
    ],
)
def test_heads_without_a_stock_form_say_why(task, heads, words):
    model = MultiTaskModel.from_encoder(tiny_encoder(), [task], heads=heads)
    with pytest.raises(ValueError, match=words):
        model.to_transformers("a")


def test_family_without_a_stock_class_says_so():
    model = MultiTaskModel.from_encoder(make_t5(), [TASKS[0], TASKS[3]])
    with pytest.raises(ValueError, match=r"sequence-classification .* 'splinter' has no stock form: its family has no"):
        model.to_transformers("topic")


def make_t5():
    from transformers import SplinterConfig, SplinterModel

    return SplinterModel(SplinterConfig(vocab_size=120, hidden_size=32, num_hidden_layers=1, num_attention_heads=4))


def test_unknown_task_is_named_with_the_nearest():
    with pytest.raises(KeyError, match=r"No task 'topc'. Did you mean 'topic'"):
        make().to_transformers("topc")


# And back


@pytest.mark.parametrize("family", STOCK)
def test_there_and_back_is_bit_for_bit(family, tmp_path):
    model = make(family)
    expected = run(model)
    stock = {name: model.to_transformers(name) for name in EXACT}
    stock["topic"].save_pretrained(tmp_path / "topic")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = MultiTaskModel.from_transformers(
            {**stock, "topic": tmp_path / "topic"}, "topic", types={"mood": "sentiment"}
        )
    again.unpad = False
    found = run(again)
    assert list(found) == EXACT
    for name in EXACT:
        assert torch.equal(found[name], expected[name]), name
        ours, theirs = model.config.task(name), again.config.task(name)
        assert (theirs.type, theirs.labels, theirs.problem_type) == (ours.type, ours.labels, ours.problem_type)
    again.save_pretrained(tmp_path / "again")
    loaded = MultiTaskModel.from_pretrained(tmp_path / "again", unpad=False)
    assert all(torch.equal(run(loaded)[name], expected[name]) for name in EXACT)


def test_regression_comes_back_in_the_labels_unit():
    model = make()
    again = MultiTaskModel.from_transformers({"value": model.to_transformers("value")})
    again.unpad = False
    assert again.config.task("value").type == "regression"
    mine, theirs = (m.task_heads["value"].predictions(run(m)["value"], []) for m in (model, again))
    assert theirs == pytest.approx(mine, rel=1e-6)


def test_single_token_models_of_other_encoders_are_brought_with_a_warning():
    one, two = make().to_transformers("topic"), make(seed=9).to_transformers("tags")
    before = {name: value.clone() for name, value in two.state_dict().items()}
    with pytest.warns(UserWarning, match=r"The encoder is that of 'topic'\..*must be trained again: 'tags'\."):
        model = MultiTaskModel.from_transformers({"topic": one, "tags": two})
    model.unpad = False
    assert torch.equal(run(model)["topic"], run(one))
    assert torch.equal(model.task_heads["tags"].classifier.stock.classifier.weight, two.classifier.weight)
    assert all(torch.equal(value, before[name]) for name, value in two.state_dict().items())
    assert one.config.num_labels == 3


def test_stock_model_that_never_saw_us_comes_in(tmp_path):
    torch.manual_seed(0)
    config = tiny_config("roberta", id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1})
    stock = AutoModelForSequenceClassification.from_config(config).eval()
    stock.save_pretrained(tmp_path)
    model = MultiTaskModel.from_transformers({"sure": tmp_path})
    model.unpad = False
    assert model.config.task("sure").labels == ("no", "yes")
    assert torch.equal(run(model)["sure"], run(stock))


def test_what_cannot_be_brought_together_says_why(tmp_path):
    bert, roberta = make().to_transformers("topic"), make("roberta").to_transformers("topic")
    with pytest.raises(
        ValueError, match=r"Task 'b': its model is a 'roberta' of 32 features.*same family and size only"
    ):
        MultiTaskModel.from_transformers({"a": bert, "b": roberta})
    with pytest.raises(ValueError, match=r"encoder names 'aa', which is none of the models. Models: 'abc'"):
        MultiTaskModel.from_transformers({"abc": bert}, encoder="aa")
    with pytest.raises(ValueError, match="encoder names None, which is none of the models"):
        MultiTaskModel.from_transformers({})
    with pytest.raises(ValueError, match=r"Task 'a': found BertForNextSentencePrediction. Expected a model for text"):
        MultiTaskModel.from_transformers({"a": BertForNextSentencePrediction(tiny_config("bert"))})
    tiny_encoder().save_pretrained(tmp_path / "bare")
    with pytest.raises(ValueError, match=r"Task 'a': found BertModel. Expected"):
        MultiTaskModel.from_transformers({"a": tmp_path / "bare"})


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("pooling", [None, "last"])
def test_decoder_only_models_leave_with_their_last_token_found(family, pooling):
    task = TaskConfig("a", "sentiment", labels=["bad", "good"], pooling=pooling)
    model = make(family, [task], pad_token_id=None, eos_token_id=3)
    stock = model.to_transformers("a")
    assert stock.config.pad_token_id == 3
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 3, 3]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).logits["a"]
        torch.testing.assert_close(stock(input_ids=ids, attention_mask=mask).logits, expected)


def test_tags_leave_an_encoder_of_t5():
    model = make("t5", [TASKS[3]])
    assert_same_logits(run(model.to_transformers("tags")), run(model)["tags"], "t5")


@pytest.mark.parametrize(
    ("family", "fields"),
    [("gpt2", {"pooling": "first"}), ("bert", {"pooling": "attention"}), ("bert", {"layers": "mix"})],
)
def test_heads_beyond_stock_classes_are_refused_with_the_reason(family, fields):
    model = make(family, [TaskConfig("a", "sentiment", labels=["bad", "good"], **fields)])
    (name, value), *_ = fields.items()
    with pytest.raises(ValueError, match=f"no stock form: it reads {name}={value!r}.* Export to ONNX"):
        model.to_transformers("a")
