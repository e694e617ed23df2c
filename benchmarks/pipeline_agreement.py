"""Does the pipeline say what stock pipelines say? Labels, scores and entities of real texts, on the same weights.

The heads are random and large, so that tags change within words: agreement is hardest there. Of each set up to
``--texts`` texts of the test split are answered (``tokens`` are joined by spaces), by every aggregation strategy. The
stock model runs once for all strategies, whose work is in its pipeline's last part.

    python benchmarks/pipeline_agreement.py --encoder ENCODER --data DATA --sets sst2 ag_news wnut17 chnsenticorp
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import torch
from generated import INTENTS, TAGS, inputs
from real_data import load_folder
from reporting import parse, report
from stock_pipelines import stock_pipelines
from transformers import AutoTokenizer, pipeline
from transformers.pipelines.token_classification import AggregationStrategy

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.heads import STRATEGIES


def main() -> None:
    """Compare set by set."""
    parser = parse(__doc__)
    parser.add_argument("--sets", nargs="+", default=["sst2", "wnut17"])
    parser.add_argument("--texts", type=int, default=1000)
    options = parser.parse_args()
    with inputs(parser, options):
        if options.quick:
            options.texts = 20
        compare(options)


def compare(options: Any) -> None:
    """Print a line for each set: texts, labels and entities that differ, and the largest difference of a score."""
    tokenizer = AutoTokenizer.from_pretrained(options.encoder)
    tasks = [
        TaskConfig("topic", "sequence-classification", labels=INTENTS),
        TaskConfig("names", "token-classification", labels=TAGS),
    ]
    model = MultiTaskModel.from_encoder(options.encoder, tasks)
    longest = min(tokenizer.model_max_length, model.encoder.config.max_position_embeddings)
    tokenizer.model_max_length = longest
    torch.manual_seed(0)
    with torch.no_grad():
        for head in model.task_heads.values():
            head.classifier.stock.classifier.weight.normal_(std=0.5)
    stock = stock_pipelines(model, options.encoder, tokenizer)
    pipe = pipeline("multi-task", model=model, tokenizer=tokenizer, device="cpu")
    cells, facts = [], []
    for name in options.sets:
        data = load_folder(Path(options.data) / name)["test"]
        column = data["text" if "text" in data.column_names else "tokens"][: options.texts]
        texts = [text if isinstance(text, str) else " ".join(text) for text in column]
        labels, largest, entities, differing = 0, 0.0, 0, 0
        theirs = stock["topic"](texts, batch_size=32, truncation=True)
        for one, two in zip(pipe(texts, tasks=["topic"]), theirs, strict=True):
            labels += one["topic"]["label"] != two["label"]
            largest = max(largest, abs(one["topic"]["score"] - two["score"]))
        tagged = [
            [stock["names"].forward(part) for part in stock["names"].preprocess(text, is_split_into_words=False)]
            for text in texts
        ]
        for strategy in STRATEGIES:
            ours = pipe(texts, tasks=["names"], aggregation_strategy=strategy)
            how = AggregationStrategy[strategy.upper()]
            theirs = [stock["names"].postprocess(copy.deepcopy(parts), how) for parts in tagged]
            for one, two in zip(ours, theirs, strict=True):
                places = [
                    [{k: e[k] for k in e if k not in ("score", "word")} for e in row] for row in (one["names"], two)
                ]
                entities += len(two)
                differing += places[0] != places[1]
                if places[0] == places[1]:
                    gaps = (abs(a["score"] - float(b["score"])) for a, b in zip(one["names"], two, strict=True))
                    largest = max(largest, *gaps, 0.0)
        facts.append({"set": name, "texts": len(texts), "labels": labels, "rows": differing, "score": largest})
        cells.append([name, len(texts), labels, f"{entities:,}", differing, f"{largest:.1e}"])
    columns = ["set", "texts", "labels differ", "entities", "texts whose entities differ", "largest score difference"]
    report("Agreement with stock pipelines", columns, cells, {"sets": facts})


if __name__ == "__main__":
    sys.exit(main())
