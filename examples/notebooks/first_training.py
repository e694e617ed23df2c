# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-mtl[report]"]
# ///
# %% [markdown]
# # A first training
# Two datasets, three tasks, one model. Each row labels some of the tasks, none labels all.
#
# `pip install 'hf-mtl[report]'`; the encoder comes from the Hub, or from the folder that `ENCODER` names.

# %%
import os
import random

import pandas as pd
from datasets import Dataset
from transformers import AutoTokenizer, pipeline, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig, infer_tasks

ENCODER = os.environ.get("ENCODER", "sentence-transformers/all-MiniLM-L6-v2")

# %% [markdown]
# ## Data
# A dataset has its input, `text` or `tokens`, and a column named after each task.

# %%
generator = random.Random(0)
requests, reviews = [], []
for _ in range(120):
    slot, intent, words = generator.choice(
        [("artist", "PlayMusic", "play a song by"), ("city", "BookRestaurant", "book a table in")]
    )
    name = generator.choice(["anna", "bob"] if slot == "artist" else ["rome", "paris"])
    tags = ["O"] * len(words.split()) + [f"B-{slot}"]
    requests.append({"tokens": [*words.split(), name], "slots": tags, "intent": intent})
    mood = generator.choice(["positive", "negative"])
    word = generator.choice(["good", "very good"] if mood == "positive" else ["bad", "not good"])
    reviews.append({"text": f"the {generator.choice(['film', 'book', 'song'])} is {word} .", "mood": mood})
data = {"requests": Dataset.from_list(requests), "reviews": Dataset.from_list(reviews)}
data = {name: rows.train_test_split(0.25, seed=0) for name, rows in data.items()}
data["requests"]["train"].to_pandas().head()

# %% [markdown]
# ## Tasks
# Types and labels are read off the data; what cannot be inferred is said: that `mood` is a scale, and its order.

# %%
train = {name: splits["train"] for name, splits in data.items()}
mood = TaskConfig("mood", "sentiment", labels=["negative", "positive"])
tasks = infer_tasks(train, [TaskConfig("intent"), TaskConfig("slots"), mood])
pd.DataFrame([{"task": task.name, "type": task.type, "labels": ", ".join(task.labels)} for task in tasks])

# %% [markdown]
# ## Training

# %%
set_seed(0)
tokenizer = AutoTokenizer.from_pretrained(ENCODER)
trainer = MultiTaskTrainer(
    MultiTaskModel.from_encoder(ENCODER, tasks),
    MultiTaskTrainingArguments(
        "out",
        num_train_epochs=4,
        per_device_train_batch_size=16,
        learning_rate=3e-4,
        eval_strategy="epoch",
        save_strategy="no",
        logging_steps=5,
        disable_tqdm=True,
    ),
    train_dataset=train,
    eval_dataset={name: splits["test"] for name, splits in data.items()},
    processing_class=tokenizer,
)
trainer.train()
trainer.save_model()

# %%
log = pd.DataFrame(trainer.state.log_history).set_index("step")
losses = log.filter(regex="^loss/").dropna(how="all")
axes = losses.interpolate().plot(title="loss of each task", xlabel="step", figsize=(7, 3))

# %%
scores = log.filter(regex="^eval_.*_(accuracy|f1)$").dropna(how="all")
scores.round(3)

# %% [markdown]
# ## Answers
# One pass of the encoder, whatever the number of tasks.

# %%
pipe = pipeline("multi-task", model="out")
for text in ["Play a very good song by Anna", "Book a table in Rome, the food is not good"]:
    answer = pipe(text)
    slots = {entity["entity_group"]: entity["word"] for entity in answer["slots"]}
    print(f"{text}: {answer['intent']['label']}, {answer['mood']['label']}, {slots}")
