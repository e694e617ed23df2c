# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-mtl[report]"]
# ///
# %% [markdown]
# # What a model gets wrong, and how sure it is
# After a training: which rows it answers wrongly, which labels it confuses, whether its scores mean what they say.
#
# `pip install 'hf-mtl[report]'`; the encoder comes from the Hub, or from the folder that `ENCODER` names.

# %%
import os
import random

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from datasets import Dataset
from transformers import AutoTokenizer, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig, predict
from hf_mtl.validation import errors, errors_by_task, predicted_rows

ENCODER = os.environ.get("ENCODER", "sentence-transformers/all-MiniLM-L6-v2")
TASKS = [
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("topic", "sequence-classification", labels=["book", "film", "song"]),
]

# %% [markdown]
# ## Data with mistakes
# One label of eight is wrong, as it may be in data of people: no model can be right and sure about all of it.

# %%


def make_rows(count: int, seed: int) -> Dataset:
    """Return texts with a mood, often wrong, and a topic."""
    generator = random.Random(seed)
    rows = []
    for _ in range(count):
        topic, is_good = generator.choice(["book", "film", "song"]), generator.random() < 0.5
        word = generator.choice(["good", "very good"] if is_good else ["bad", "not good"])
        is_wrong = generator.random() < 1 / 8
        mood = "good" if is_good != is_wrong else "bad"
        rows.append({"text": f"the {topic} is {word} .", "topic": topic, "mood": mood})
    return Dataset.from_list(rows)


train, held_out, test = make_rows(160, 1), make_rows(200, 2), make_rows(200, 3)

# %%
set_seed(0)
tokenizer = AutoTokenizer.from_pretrained(ENCODER)
trainer = MultiTaskTrainer(
    MultiTaskModel.from_encoder(ENCODER, TASKS),
    MultiTaskTrainingArguments(
        "out",
        num_train_epochs=6,
        per_device_train_batch_size=16,
        learning_rate=5e-4,
        save_strategy="no",
        disable_tqdm=True,
    ),
    {"reviews": train},
    {"reviews": held_out},
    tokenizer,
)
trainer.train()

# %% [markdown]
# ## The rows that cost most
# The highest losses first: wrong labels come to the top.

# %%
errors(trainer).head(10)

# %%
errors_by_task(trainer)["topic"].confusion

# %% [markdown]
# ## Are the scores right?
# Of the answers with a score of 0.9, nine in ten should be right. `calibrate` finds a temperature for each task on rows
# that were held out; no answer changes, only how sure it is.


# %%
def reliability(model: MultiTaskModel, task: str, bins: int = 5) -> pd.DataFrame:
    """Return the mean score and the accuracy of the test rows, in bins of the score."""
    found = [answer[task] for answer in predict(model, tokenizer, test["text"], tasks=[task])]
    frame = pd.DataFrame({"score": [one["score"] for one in found], "right": [one["label"] for one in found]})
    frame["right"] = frame["right"].to_numpy() == np.array(test[task])
    return frame.groupby(pd.cut(frame["score"], np.linspace(0.5, 1, bins + 1)), observed=True).mean()


before = reliability(trainer.model, "mood")
calibrated = trainer.calibrate(tasks=["mood"])["mood"]
after = reliability(trainer.model, "mood")
print(f"temperature {calibrated.temperature:.2f}")
pd.DataFrame({"before": calibrated.before, "after": calibrated.after}).round(3)

# %%
figure, axes = plt.subplots(figsize=(4, 4))
axes.plot([0.5, 1], [0.5, 1], color="grey", linestyle=":")
axes.plot(before["score"], before["right"], marker="o", label="before")
axes.plot(after["score"], after["right"], marker="o", label="after")
axes.set(xlabel="score", ylabel="right answers", title="mood")
axes.legend()

# %% [markdown]
# All rows with their answers, losses and probabilities are a table:

# %%
predicted_rows(trainer, tasks=["mood"]).head()
