import pytest
import torch
from transformers import AutoModel, BertModel

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.heads import Head, SequenceClassificationHead
from tests.encoders import tiny_config, tiny_encoder
from tests.warm import Script, run

TASKS = [
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("tags", "token-classification", labels=["O", "B-x", "I-x"]),
]
INPUTS = {
    "input_ids": torch.tensor([[2, 7, 9, 3], [2, 5, 3, 0]]),
    "attention_mask": torch.tensor([[1] * 4, [1, 1, 1, 0]]),
}


@pytest.fixture
def model():
    return MultiTaskModel.from_encoder(tiny_encoder(), TASKS)


def logits(model, **kwargs):
    with torch.no_grad():
        return model(**INPUTS, **kwargs).logits


def test_folder_is_loaded_with_its_weights_and_its_pooler(encoder_folder):
    model = MultiTaskModel.from_encoder(encoder_folder, TASKS)
    saved = BertModel.from_pretrained(encoder_folder)
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(value, saved.state_dict()[name]), name
    assert torch.equal(model.task_heads["mood"].classifier.pooler.dense.weight, saved.pooler.dense.weight)


def test_each_sequence_head_has_a_pooler_of_its_own():
    tasks = [TASKS[0], TaskConfig("mood2", "sentiment", labels=["bad", "good"])]
    model = MultiTaskModel.from_encoder(tiny_encoder(), tasks)
    first, second = (head.classifier.pooler.dense.weight for head in model.task_heads.values())
    assert torch.equal(first, second)
    assert first.data_ptr() != second.data_ptr()
    assert model.encoder.pooler is None


def test_checkpoint_without_a_pooler_gives_each_head_a_new_one(tmp_path):
    bert = BertModel(tiny_config("bert"), add_pooling_layer=False)
    bert.save_pretrained(tmp_path)
    tasks = [TASKS[0], TaskConfig("mood2", "sentiment", labels=["bad", "good"])]
    model = MultiTaskModel.from_encoder(tmp_path, tasks)
    first, second = (head.classifier.pooler.dense.weight for head in model.task_heads.values())
    assert not torch.equal(first, second)


_NEW_PROCESS = """
import sys
from pathlib import Path

import torch
from transformers import AutoModel

import hf_mtl

ids = torch.tensor([[2, 7, 9, 3], [2, 5, 3, 0]])
for folder in Path(sys.argv[1]).iterdir():
    model = AutoModel.from_pretrained(folder)
    assert isinstance(model, hf_mtl.MultiTaskModel)
    with torch.no_grad():
        found = model(input_ids=ids, attention_mask=ids.ne(0).long()).logits
    saved = torch.load(folder / "logits.pt")
    for name in saved:
        assert torch.equal(found[name], saved[name]), (folder.name, name)
"""


def test_loaded_in_a_new_process_it_answers_bit_for_bit(tmp_path, tmp_path_factory):
    for family in ("bert", "roberta", "distilbert", "electra"):
        model = MultiTaskModel.from_encoder(tiny_encoder(family), [*TASKS, TaskConfig("value", "regression")])
        model.save_pretrained(tmp_path / family)
        torch.save(logits(model), tmp_path / family / "logits.pt")
    script = tmp_path_factory.mktemp("script") / "script.py"
    script.write_text(_NEW_PROCESS)
    done = run(Script(script, [str(tmp_path)], script.with_suffix(".txt")))
    assert done.returncode == 0, done.stderr


def test_only_safetensors_are_written(model, tmp_path):
    model.save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_auto_model_loads_it(model, tmp_path):
    model.save_pretrained(tmp_path)
    assert isinstance(AutoModel.from_pretrained(tmp_path), MultiTaskModel)


def test_saved_encoder_is_a_plain_model(model, tmp_path):
    model.save_encoder(tmp_path)
    plain = AutoModel.from_pretrained(tmp_path, add_pooling_layer=False)
    assert type(plain) is BertModel
    with torch.no_grad():
        expected, ours = plain(**INPUTS).last_hidden_state, model(**INPUTS).last_hidden_state
    real = INPUTS["attention_mask"].bool()
    torch.testing.assert_close(expected[real], ours[real])


def test_resized_embeddings_survive_saving(model, tmp_path):
    model.resize_token_embeddings(150)
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    assert loaded.get_input_embeddings().weight.shape[0] == 150
    assert loaded.config.encoder_config.vocab_size == 150


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_implementations_agree(model, tmp_path, attention):
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path, attn_implementation=attention, unpad=False)
    assert loaded.encoder.config._attn_implementation == attention
    expected = logits(model)
    for name, value in logits(loaded).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)


def test_attention_weights_are_returned_when_the_encoder_can(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path, attn_implementation="eager")
    output = loaded(**INPUTS, output_attentions=True, output_hidden_states=True)
    assert len(output.attentions) == 2
    assert len(output.hidden_states) == 3


def test_dtype_reaches_encoder_and_heads(encoder_folder, tmp_path):
    model = MultiTaskModel.from_encoder(encoder_folder, TASKS, dtype=torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    model.save_pretrained(tmp_path)
    assert {p.dtype for p in MultiTaskModel.from_pretrained(tmp_path).parameters()} == {torch.bfloat16}
    loaded = MultiTaskModel.from_pretrained(tmp_path, dtype=torch.float32)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


def test_device_map_loads(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path, device_map="cpu")
    expected = logits(model)
    assert all(torch.equal(value, expected[name]) for name, value in logits(loaded).items())


def test_gradient_checkpointing_gives_the_same_gradients(model):
    def gradients():
        model.zero_grad()
        labels = {"mood": torch.tensor([0, 1])}
        model(**INPUTS, labels=labels).loss.backward()
        return [p.grad.clone() for p in model.encoder.parameters() if p.grad is not None]

    model.eval()
    plain = gradients()
    model.activation_checkpointing_enable()
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    assert any(getattr(m, "gradient_checkpointing", False) for m in model.encoder.modules())
    for one, two in zip(plain, gradients(), strict=True):
        torch.testing.assert_close(one, two)


def test_embeddings_can_take_the_place_of_ids(model):
    embedded = model.get_input_embeddings()(INPUTS["input_ids"])
    with torch.no_grad():
        found = model(inputs_embeds=embedded, attention_mask=INPUTS["attention_mask"]).logits
    expected = logits(model)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name])


def test_tuple_is_returned_on_request(model):
    assert isinstance(model(**INPUTS, return_dict=False), tuple)


def test_losses_meet_by_share_of_rows_times_weight():
    tasks = [TASKS[0], TaskConfig("tags", "token-classification", labels=["O", "B-x", "I-x"], weight=3.0)]
    model = MultiTaskModel.from_encoder(tiny_encoder(), tasks)
    output = model(
        **INPUTS,
        labels={"mood": torch.tensor([0, 1]), "tags": torch.tensor([[-100, 0, 1, -100]])},
        rows={"mood": torch.tensor([0, 1]), "tags": torch.tensor([0])},
    )
    expected = output.losses["mood"] + 3.0 * 0.5 * output.losses["tags"]
    torch.testing.assert_close(output.loss, expected)


def test_batch_without_labels_of_any_task_trains_nothing(model):
    loss = model(**INPUTS, labels={}, rows={}).loss
    loss.backward()
    assert loss == 0


def test_sentence_pairs_reach_the_encoder(model):
    types = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 0]])
    assert not torch.equal(logits(model, token_type_ids=types)["mood"], logits(model)["mood"])


def test_positions_of_padding_hold_zero(model):
    assert logits(model)["tags"][1, 3].tolist() == [0, 0, 0]


def test_caller_owned_tasks_are_not_changed(model):
    before = list(TASKS)
    model.replace_task(TaskConfig("mood", "sentiment", labels=["bad", "good"], weight=2.0))
    assert before == TASKS
    assert model.config.task("mood").weight == 2.0


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ([TaskConfig("a", "sequence-clasification", labels=["x", "y"])], "Did you mean 'sequence-classification'"),
        ([TaskConfig("a", "sequence-classification")], "at least 2 labels, found none"),
        ([TaskConfig("a", "sentiment", labels=["x"])], "at least 2 labels, found 'x'"),
        ([TaskConfig("a", "regression", labels=[])], "labels name the numbers of a row, found none"),
        ([TaskConfig("a", "regression", label_smoothing=0.1)], "regression takes no class_weights, label_smoothing"),
        ([TaskConfig("a", "sentiment", labels=["x", "y"], options={"los": 1})], "Did you mean 'loss'"),
        ([TaskConfig("a", "sentiment", labels=["x", "y"], options={"loss": "mse"})], "'ordinal', found 'mse'"),
        ([TaskConfig("a", "token-classification", labels=["O", "B-x"], options={"scheme": "BIO"})], "IOB2"),
        (
            [TaskConfig("a", "token-classification", labels=["O", "E-x"], options={"scheme": "IOB2"})],
            "label 'E-x' is not a tag of IOB2",
        ),
        ([TaskConfig("a", "token-classification", labels=["O", "B-x"], pooling="mean")], "no pooling"),
    ],
)
def test_tasks_that_do_not_fit_their_type_are_refused(tasks, words):
    with pytest.raises(ValueError, match=words):
        MultiTaskModel.from_encoder(tiny_encoder(), tasks)


def test_unknown_names_in_forward_are_refused(model):
    with pytest.raises(ValueError, match=r"labels names 'moood'.*Did you mean 'mood'"):
        model(**INPUTS, labels={"moood": torch.tensor([0, 1])})


def test_plain_checkpoint_says_how_to_start_from_it(encoder_folder):
    with pytest.raises(ValueError, match="from_encoder"):
        MultiTaskModel.from_pretrained(encoder_folder)


def test_own_head_is_passed_in_and_needs_no_registry(tmp_path):
    class Urgency(SequenceClassificationHead):
        """A head of a user's own."""

    tasks = [TaskConfig("urgent", "urgency", labels=["no", "yes"])]
    assert issubclass(Urgency, Head)
    model = MultiTaskModel.from_encoder(tiny_encoder(), tasks, heads={"urgency": Urgency})
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path, heads={"urgency": Urgency})
    assert torch.equal(logits(loaded)["urgent"], logits(model)["urgent"])
    with pytest.raises(ValueError, match="unknown type 'urgency'"):
        MultiTaskModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("unpad", [True, False])
def test_what_a_call_leaves_out_is_as_the_config_says(model, tmp_path, unpad):
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path, output_hidden_states=True, unpad=unpad)
    assert len(loaded(**INPUTS).hidden_states) == 3
    assert loaded(**INPUTS, output_hidden_states=False).hidden_states is None
    assert model(**INPUTS).hidden_states is None
    model.config.output_hidden_states = True
    assert len(model(**INPUTS).hidden_states) == 3


@pytest.mark.parametrize("layers", [None, "mix"])
@pytest.mark.parametrize("unpad", [True, False])
@pytest.mark.parametrize("asked", [[0, -1], [1], 1])
def test_hidden_states_are_given_by_number(asked, unpad, layers):
    tasks = [TaskConfig("mood", "sentiment", labels=["bad", "good"], layers=layers)]
    model = MultiTaskModel.from_encoder(tiny_encoder(), tasks, unpad=unpad)
    every = model(**INPUTS, output_hidden_states=True).hidden_states
    found = model(**INPUTS, output_hidden_states=asked).hidden_states
    chosen = {number % 3 for number in ([asked] if isinstance(asked, int) else asked)}
    for number, values in enumerate(found):
        assert (values is not None) == (number in chosen)
        if values is not None:
            torch.testing.assert_close(values, every[number], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["num_labels", "id2label", "label2id", "problem_type", "is_encoder_decoder"])
def test_fields_of_a_model_of_one_task_are_refused(model, tmp_path, name):
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"^{name}=.* belong to tasks"):
        MultiTaskModel.from_pretrained(tmp_path, **{name: 3})
    with pytest.raises(ValueError, match=f"^{name}=.* belong to tasks"):
        MultiTaskModel.from_encoder(str(tmp_path), model.tasks, **{name: 3})


@pytest.mark.parametrize(("family", "supports"), [("bert", True), ("mpnet", False)])
def test_activation_checkpointing_is_the_encoders(family, supports):
    model = MultiTaskModel.from_encoder(tiny_encoder(family), [TaskConfig("mood", "sentiment", labels=["bad", "good"])])
    assert model.supports_gradient_checkpointing is supports
