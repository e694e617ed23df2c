# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-mtl[peft]"]
# ///
"""A decoder-only model as the encoder of several tasks, trained by LoRA: adapters and heads learn, all else stays.

    python examples/lora_on_a_decoder.py OUTPUT [ENCODER]

ENCODER is a Hub id or a folder, such as Qwen/Qwen3-0.6B; without it a small random one is made, and the script runs
offline on rows that it makes. With a large one give ``dtype="bfloat16"`` to ``from_encoder``, too.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen3Config, Qwen3Model, pipeline, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig

NAMES, CITIES, PRAISE, BLAME = ("anna", "bob", "eva"), ("rome", "paris", "oslo"), ("good", "fine"), ("bad", "dull")
FILLER = ("play", "book", "a", "song", "by", "in", "table", "the", "film", "was", "very", "and")
TASKS = [
    TaskConfig("intent", "sequence-classification", labels=["PlayMusic", "BookRestaurant"]),
    TaskConfig("slots", "token-classification", labels=["O", "B-artist", "B-city"]),
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
]


def make_data(rows: int, seed: int) -> dict[str, Dataset]:
    """Return a dataset of requests, with an intent and slots, and one of reviews, with a mood."""
    generator = random.Random(seed)
    requests: dict[str, list[object]] = {"tokens": [], "intent": [], "slots": []}
    reviews: dict[str, list[object]] = {"text": [], "mood": []}
    for _ in range(rows):
        plays = generator.random() < 0.5
        words = ["play", "a", "song", "by"] if plays else ["book", "a", "table", "in"]
        requests["tokens"].append([*words, generator.choice(NAMES if plays else CITIES)])
        requests["intent"].append("PlayMusic" if plays else "BookRestaurant")
        requests["slots"].append(["O"] * 4 + ["B-artist" if plays else "B-city"])
        is_good = generator.random() < 0.5
        reviews["text"].append(f"the film was very {generator.choice(PRAISE if is_good else BLAME)}")
        reviews["mood"].append("good" if is_good else "bad")
    return {"requests": Dataset.from_dict(requests), "reviews": Dataset.from_dict(reviews)}


def make_decoder(folder: Path) -> str:
    """Write a small random decoder, and a tokenizer of the words above, into a folder."""
    words = dict.fromkeys(["<pad>", "<unk>", "<end>", *FILLER, *NAMES, *CITIES, *PRAISE, *BLAME])
    vocabulary = {word: number for number, word in enumerate(words)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.normalizer, inner.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    # A text ends with a token that has seen all of it.
    inner.post_processor = processors.TemplateProcessing("$A <end>", "$A <end> $B <end>", [("<end>", 2)])
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "<end>"}
    PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=32, **special).save_pretrained(folder)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = Qwen3Config(
        vocab_size=len(vocabulary), num_key_value_heads=2, head_dim=8, pad_token_id=0, eos_token_id=2, **sizes
    )
    Qwen3Model(config).save_pretrained(folder)
    return str(folder)


def main(output: str, encoder: str | None = None) -> None:
    """Train adapters, save them, merge them into the decoder, and answer with both."""
    set_seed(0)
    folder = Path(output)
    # A pretrained decoder learns at 2e-4; a random one needs more.
    rate = 2e-4 if encoder else 1e-2
    encoder = encoder or make_decoder(folder / "decoder")
    # A tag needs the words after it as well: attention is opened both ways.
    model = MultiTaskModel.from_encoder(encoder, TASKS, bidirectional=True)
    trainer = MultiTaskTrainer(
        model,
        MultiTaskTrainingArguments(
            str(folder / "adapter"),
            num_train_epochs=4,
            per_device_train_batch_size=16,
            learning_rate=rate,
            save_strategy="no",
            logging_steps=20,
        ),
        train_dataset=make_data(96, seed=1),
        eval_dataset=make_data(32, seed=2),
        processing_class=AutoTokenizer.from_pretrained(encoder),
        peft_config=LoraConfig(r=8, lora_alpha=16),  # on all linear layers of the encoder
    )
    trained = sum(weights.numel() for weights in model.parameters() if weights.requires_grad)
    print(f"{trained:,} of {sum(weights.numel() for weights in model.parameters()):,} weights learn")
    trainer.train()
    scores = trainer.evaluate()
    print(", ".join(f"{task.name} {scores[f'eval_{task.name}_loss']:.3f}" for task in TASKS), "(losses)")
    trainer.save_model()  # adapters and heads alone; the decoder is named
    MultiTaskModel.from_pretrained(folder / "adapter").merge_and_unload().save_pretrained(folder / "merged")
    trainer.processing_class.save_pretrained(folder / "merged")

    for kind in ("adapter", "merged"):
        answer = pipeline("multi-task", model=str(folder / kind))("Play a song by Bob")
        print(
            f"{kind}: {answer['intent']['label']}, {[(slot['word'], slot['entity_group']) for slot in answer['slots']]}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
