"""Laws that every encoder family obeys, and what is said of encoders that cannot."""

import logging

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    BartConfig,
    BartModel,
    BertConfig,
    BloomConfig,
    BloomModel,
    CanineConfig,
    CanineModel,
    PreTrainedConfig,
    PreTrainedModel,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
    T5Model,
)
from transformers.modeling_outputs import BaseModelOutput

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.data import MultiTaskCollator, Row, longest_input
from hf_mtl.encoder import is_decoder_only, learned_positions, longest_text
from hf_mtl.heads import HEADS, SequenceClassificationHead
from hf_mtl.heads._layers import LayerMix
from hf_mtl.trainer import split_learning_rates
from hf_mtl_light.encoding._encodings import warn_once
from tests.encoder_checks import CHECKS, IDS, MASK, ROWS_OF_TYPES, TASK_OF_TYPE, tokenizer_of
from tests.encoders import DECODERS, FAMILIES, PAIRS, tiny_config, tiny_encoder

TOPIC = TaskConfig("topic", "sequence-classification", labels=["x", "y", "z"])
MIXED = TaskConfig("mixed", "sequence-classification", labels=["x", "y"], layers="mix", pooling="attention")
TINY_T5 = T5Config(vocab_size=99, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0)


def test_the_matrix_has_a_task_of_every_type():
    missing = set(TASK_OF_TYPE) ^ {name for name, head in HEADS.items() if head.modality() == "text"}
    assert not missing, (
        f"TASK_OF_TYPE in tests/encoder_checks.py needs a task of each of these types: {sorted(missing)}"
    )
    unlabelled = {task.name for task in TASK_OF_TYPE.values()} - {
        key for rows in ROWS_OF_TYPES.values() for key in rows
    }
    assert not unlabelled, f"ROWS_OF_TYPES in tests/encoder_checks.py needs labels of {sorted(unlabelled)}"


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("family", FAMILIES)
def test_matrix_holds(family, check):
    CHECKS[check](family)


@pytest.mark.parametrize("family", [*PAIRS, *DECODERS])
def test_further_families_answer_the_same_unpadded_and_from_other_layers(family):
    CHECKS["unpadded = padded"](family)
    CHECKS["layers"](family)


def test_families_are_told_apart():
    decoders = {family for family in FAMILIES if is_decoder_only(tiny_config(family))}
    assert decoders == {"gpt2", "llama", "qwen3"}
    assert all(is_decoder_only(tiny_config(family)) for family in DECODERS)


# Positions


@pytest.mark.parametrize("family", ["data2vec-text", "ibert", "longformer", "rembert", "opt"])
def test_configs_know_how_many_positions_the_layers_have(family):
    encoder = tiny_encoder(family, pad_token_id=1, ffn_dim=48, attention_window=4)
    if family == "ibert":  # its table is a quantised class of its own
        assert longest_text(encoder.config) == 80 - 2
    else:
        assert longest_text(encoder.config) == learned_positions(encoder)


def test_tokenizers_without_a_limit_follow_the_encoder():
    tokenizer = tokenizer_of("t5")
    assert tokenizer.model_max_length > 2**32
    assert longest_input(tokenizer, tiny_config("gpt2")) == 80
    assert longest_input(tokenizer, tiny_config("t5")) == 2**20


# Decoder-only encoders


def test_tokenizer_without_padding_pads_with_its_end_of_text_and_stays_as_it_is(caplog):
    tokenizer = tokenizer_of("gpt2")
    warn_once.cache_clear()  # another test may have been told
    with caplog.at_level(logging.WARNING, "hf_mtl_light"):
        collator = MultiTaskCollator(tokenizer, [TOPIC], {"topic": SequenceClassificationHead})
    assert "no padding token: batches are padded with its end of text, '[SEP]'" in caplog.text
    inputs, _ = collator.encode([Row("d", 0, "a film"), Row("d", 1, "film"), Row("d", 2, "")])
    assert inputs["attention_mask"].tolist() == [[1, 1], [1, 0], [1, 0]]
    assert inputs["input_ids"][1, 1] == inputs["input_ids"][2, 0] == tokenizer.eos_token_id
    assert tokenizer.pad_token is None
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match="neither a padding token nor an end of text"):
        MultiTaskCollator(tokenizer, [TOPIC], {"topic": SequenceClassificationHead})


def test_decoders_are_pooled_by_their_last_token():
    torch.manual_seed(0)
    last = TaskConfig("last", "sequence-classification", labels=["x", "y", "z"], pooling="last")
    model = MultiTaskModel.from_encoder(tiny_encoder("llama"), [TOPIC, last])
    model.task_heads["last"].load_state_dict(model.task_heads["topic"].state_dict())
    logits = model(input_ids=IDS, attention_mask=MASK).logits
    torch.testing.assert_close(logits["topic"], logits["last"])


def test_bidirectional_choice_is_saved(tmp_path):
    model = MultiTaskModel.from_encoder(tiny_encoder("llama"), [TOPIC], bidirectional=True)
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    for inputs in ({"input_ids": IDS, "attention_mask": MASK}, {"input_ids": IDS[:1]}):
        assert torch.equal(loaded(**inputs).logits["topic"], model(**inputs).logits["topic"])
    causal = MultiTaskModel.from_encoder(tiny_encoder("llama"), [TOPIC])
    causal.load_state_dict(model.state_dict())
    assert not torch.equal(causal(input_ids=IDS[:1]).logits["topic"], model(input_ids=IDS[:1]).logits["topic"])


def test_bidirectional_is_refused_where_it_means_nothing_or_cannot_be():
    with pytest.raises(ValueError, match="'bert' sees both ways by itself"):
        MultiTaskModel.from_encoder(tiny_encoder(), [TOPIC], bidirectional=True)
    recurrent = tiny_encoder("mamba", state_size=4)
    with pytest.raises(ValueError, match="family 'mamba' cannot be made bidirectional"):
        MultiTaskModel.from_encoder(recurrent, [TOPIC], bidirectional=True)


def test_families_that_nobody_tried_run_padded():
    bloom = BloomModel(BloomConfig(vocab_size=99, hidden_size=32, n_layer=2, n_head=4))
    model = MultiTaskModel.from_encoder(bloom, [TOPIC, MIXED])
    together = model(input_ids=IDS, attention_mask=MASK).logits
    alone = model(input_ids=IDS[1:2, :3]).logits
    for name in together:
        torch.testing.assert_close(together[name][1:2], alone[name], rtol=1e-4, atol=1e-5)


# Encoders of pairs


def test_t5_checkpoint_gives_its_encoder(tmp_path):
    whole = T5ForConditionalGeneration(TINY_T5).eval()
    whole.save_pretrained(tmp_path)
    model = MultiTaskModel.from_encoder(tmp_path, [TOPIC])
    assert type(model.encoder) is T5EncoderModel
    with torch.no_grad():
        expected = whole.encoder(input_ids=IDS, attention_mask=MASK).last_hidden_state
        found = model(input_ids=IDS, attention_mask=MASK).last_hidden_state
    torch.testing.assert_close(found[MASK.bool()], expected[MASK.bool()])
    assert "no stock class" in model.task_heads["topic"].beyond_stock
    assert type(model.task_heads["topic"].pooling).__name__ == "MeanPooling"
    model.save_encoder(tmp_path / "encoder")
    assert type(MultiTaskModel.from_encoder(tmp_path / "encoder", [TOPIC]).encoder) is T5EncoderModel


def test_decoders_of_pairs_are_refused():
    with pytest.raises(TypeError, match=r"T5Model is an encoder and a decoder. Load its encoder alone"):
        MultiTaskModel.from_encoder(T5Model(TINY_T5), [TOPIC])
    bart = BartConfig(
        vocab_size=9, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=8, decoder_ffn_dim=8
    )
    with pytest.raises(TypeError, match=r"'bart' is an encoder and a decoder.*mt5, t5, umt5 can be used"):
        MultiTaskModel.from_encoder(BartModel(bart), [TOPIC])


# Encoders of a user's own


class BagConfig(PreTrainedConfig):
    model_type = "bag"
    hidden_size: int = 16
    wrong: str | None = None


class BagModel(PreTrainedModel):
    """Looks up each token by itself."""

    config_class = BagConfig

    def __init__(self, config):
        super().__init__(config)
        self.words = torch.nn.Embedding(50, config.hidden_size)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, return_dict=True):
        states = self.words(input_ids)
        if self.config.wrong == "name":
            return {"states": states}
        return BaseModelOutput(last_hidden_state=states[:, :2] if self.config.wrong == "shape" else states)


@pytest.fixture(scope="module", autouse=True)
def _registered():
    AutoConfig.register("bag", BagConfig)
    AutoModel.register(BagConfig, BagModel)


def test_encoder_of_a_users_own_works_with_plain_heads(tmp_path):
    tags = TaskConfig("tags", "token-classification", labels=["O", "B-x"])
    model = MultiTaskModel.from_encoder(BagModel(BagConfig()), [TOPIC, tags]).eval()
    model.save_pretrained(tmp_path)
    before = model(input_ids=IDS, attention_mask=MASK).logits
    after = MultiTaskModel.from_pretrained(tmp_path)(input_ids=IDS, attention_mask=MASK).logits
    assert all(torch.equal(before[name], after[name]) for name in before)
    head = model.task_heads["topic"]
    expected = head.classifier.stock.classifier(model.encoder.words(IDS[:, 0]))
    torch.testing.assert_close(before["topic"], expected)
    assert "no stock class" in head.beyond_stock


@pytest.mark.parametrize(
    ("wrong", "words"),
    [("name", "BagModel returned no last_hidden_state"), ("shape", r"shape \(3, 2, 16\) where \(3, 6, 16\)")],
)
def test_encoder_that_returns_no_state_a_token_is_refused(wrong, words):
    model = MultiTaskModel.from_encoder(BagModel(BagConfig(wrong=wrong)), [TOPIC])
    with pytest.raises(TypeError, match=words):
        model(input_ids=IDS, attention_mask=MASK)


# Layers


@pytest.mark.parametrize("count", [3, 7])
def test_layer_out_of_range_names_the_task_and_the_count(count):
    task = TaskConfig("mood", "sentiment", labels=["bad", "good"], layers=count)
    with pytest.raises(ValueError, match=f"Task 'mood': layers={count}, but the encoder has 2 layers"):
        MultiTaskModel.from_encoder(tiny_encoder(), [task])


def test_encoders_with_other_hidden_states_are_refused_by_name():
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    model = MultiTaskModel.from_encoder(CanineModel(CanineConfig(**sizes)), [TOPIC, MIXED])
    inputs = {"input_ids": IDS.repeat(1, 3), "attention_mask": MASK.repeat(1, 3)}
    with pytest.raises(TypeError, match="CanineModel returned 7 hidden_states where 3"):
        model(**inputs)
    assert model(**inputs, tasks=["topic"]).logits["topic"].shape == (3, 3)


def test_layers_are_collected_only_for_heads_that_ask():
    model, seen = MultiTaskModel.from_encoder(tiny_encoder(), [TOPIC, MIXED]), []
    model.encoder.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs.get("output_hidden_states")), with_kwargs=True
    )
    model(input_ids=IDS, attention_mask=MASK, tasks=["topic"])
    model(input_ids=IDS, attention_mask=MASK, rows={"topic": torch.tensor([0])})
    model(input_ids=IDS, attention_mask=MASK, rows={"mixed": torch.tensor([2, 0])})
    assert seen == [None, None, True]


@pytest.mark.parametrize("family", ["bert", "deberta-v2", "llama", "t5"])
@pytest.mark.parametrize("frozen", [False, True])
def test_mix_learns_under_activation_checkpointing_and_on_a_frozen_encoder(family, frozen):
    model = MultiTaskModel.from_encoder(tiny_encoder(family), [MIXED]).train()
    model.encoder.requires_grad_(not frozen)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    gradients = []
    for checkpointed in (False, True):
        if checkpointed:
            model.activation_checkpointing_enable()
        model.zero_grad()
        labels = {"mixed": torch.tensor([0, 1, 1])}
        # DeBERTa's dropout of attention is no nn.Dropout in all of its layers: the same draws for both passes.
        torch.manual_seed(0)
        model(input_ids=IDS, attention_mask=MASK, labels=labels).loss.backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    plain, again = gradients
    assert plain.keys() == again.keys()
    assert any(name.startswith("encoder.") for name in plain) is not frozen
    for name in ("heads.mixed.mix.scores", "heads.mixed.mix.gamma", "heads.mixed.pooling.query"):
        assert plain[name].abs().sum() > 0, name
        torch.testing.assert_close(plain[name], again[name], rtol=1e-3, atol=1e-6)


def test_mix_without_some_layers_still_weighs_one():
    torch.manual_seed(0)
    mix, layers = LayerMix(2, dropout=0.5).train(), [torch.full((1, 1), float(k)) for k in range(3)]
    found = {round(mix(layers).item(), 3) for _ in range(200)}
    # One layer alone, the mean of two, of all.
    assert found == {0.0, 0.5, 1.0, 1.5, 2.0}
    assert mix.eval()(layers).item() == pytest.approx(1.0)


def test_new_layers_of_heads_learn_at_the_heads_rate():
    model = MultiTaskModel.from_encoder(tiny_encoder(), [MIXED])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    split_learning_rates(optimizer, {}, {}, model.heads, dict.fromkeys(model.heads, 0.7))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    head = model.task_heads["mixed"]
    assert {rates[id(p)] for p in (head.mix.scores, head.mix.gamma, head.pooling.query)} == {0.7}


@pytest.mark.parametrize(
    ("fields", "claim"),
    [({}, None), ({"layers": 2}, None), ({"layers": 1}, "layers=1"), ({"pooling": "max"}, "pooling='max'")],
)
def test_heads_say_what_stock_classes_cannot_compute(fields, claim):
    task = TaskConfig("topic", "sequence-classification", labels=["x", "y"], **fields)
    found = MultiTaskModel.from_encoder(tiny_encoder(), [task]).task_heads["topic"].beyond_stock
    assert found is claim or claim in found


def test_dropout_acts_where_the_family_has_none():
    task = TaskConfig("topic", "sequence-classification", labels=["x", "y"], dropout=0.5)
    model = MultiTaskModel.from_encoder(tiny_encoder("llama"), [task])
    one, two = (model(input_ids=IDS[:1]).logits["topic"] for _ in range(2))
    assert torch.equal(one, two)
    model.train()
    one, two = (model(input_ids=IDS[:1]).logits["topic"] for _ in range(2))
    assert not torch.equal(one, two)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"layers": -1}, "layers must be the number of a layer from 0"),
        ({"layers": True}, "found True"),
        ({"layers": "mixed"}, "found 'mixed'"),
        ({"layer_dropout": 0.1}, "layer_dropout is for layers='mix'"),
        ({"layers": "mix", "layer_dropout": 1.0}, r"layer_dropout must lie in \[0.0, 1.0\)"),
        ({"pooling": "attn"}, "'attention' or null|'attention'"),
    ],
)
def test_wrong_layers_and_poolings_are_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        TaskConfig("mood", "sentiment", labels=["bad", "good"], **fields)


def test_texts_longer_than_the_positions_are_refused_with_the_number():
    model = MultiTaskModel.from_encoder(tiny_encoder("roberta"), [TOPIC])
    with pytest.raises(ValueError, match=r"200 tokens a text.*'roberta'.*positions for 79"):
        model(input_ids=torch.full((1, 200), 7))
    assert longest_text(BertConfig()) == 512
