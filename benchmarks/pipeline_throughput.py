"""Texts a second: one pipeline that answers eight tasks against eight stock pipelines, and one task against one.

Both sides have the same weights, the same texts and the same batch size; contestants take turns, and the ratio of each
round is taken. Differences of their answers are counted beforehand. Stock pipelines pad each batch to its longest text;
``--sorted`` sorts the texts by length for them. Real texts are the test split of a folder of ``--data`` with a column
``text``.

    python benchmarks/pipeline_throughput.py --encoder ENCODER --data DATA --set sst2 --texts 512
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from generated import inputs
from real_data import load_folder
from reporting import in_turn, parse, report
from stock_pipelines import eight_tasks, stock_pipelines
from transformers import AutoTokenizer, pipeline

from hf_mtl import MultiTaskModel


def rate(answer: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> float:
    """Return the texts a second that a pipeline answers."""
    start = time.perf_counter()
    answer(texts)
    return len(texts) / (time.perf_counter() - start)


def main() -> None:
    """Compare and print the medians."""
    parser = parse(__doc__)
    parser.add_argument("--set", default="sst2", help="the folder of --data whose texts are answered")
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--sorted", action="store_true", help="sort the texts by length beforehand")
    options = parser.parse_args()
    with inputs(parser, options):
        if options.quick:
            options.texts, options.rounds = 16, 1
        texts = load_folder(Path(options.data) / options.set)["test"]["text"][: options.texts]
        measure(options, sorted(texts, key=len) if options.sorted else list(texts))


def measure(options: Any, texts: list[str]) -> None:
    """Time both sides at each batch size."""
    tokenizer = AutoTokenizer.from_pretrained(options.encoder)
    torch.manual_seed(0)
    model = MultiTaskModel.from_encoder(options.encoder, eight_tasks())
    stock = stock_pipelines(model, options.encoder, tokenizer)
    pipe = pipeline("multi-task", model=model, tokenizer=tokenizer, device="cpu")
    names = list(stock)
    cells, facts = [], []
    for size in options.batch_sizes:
        # One text at a time is what a service does; stock pipelines and this one are then called text by text.
        few = texts if size > 1 else texts[: max(len(texts) // 8, 8)]
        for chosen in (names, names[:1]):
            ours = partial(_ours, pipe, chosen, size)
            theirs = partial(_theirs, [stock[name] for name in chosen], size)
            contestants = {"stock": partial(rate, theirs, few), "hf_mtl": partial(rate, ours, few)}
            in_turn(contestants, 1)  # warm-up
            rates = in_turn(contestants, options.rounds)
            ratios = [a / b for a, b in zip(rates["hf_mtl"], rates["stock"], strict=True)]
            found = {name: statistics.median(values) for name, values in rates.items()}
            facts.append({"heads": len(chosen), "batch_size": size, "ratios": ratios, **found})
            figures = (f"{found['stock']:.1f}", f"{found['hf_mtl']:.1f}", f"{statistics.median(ratios):.2f}")
            cells.append([f"{len(chosen)}, batches of {size}", *figures, f"{min(ratios):.2f}-{max(ratios):.2f}"])
    columns = ["heads", "stock, texts/s", "hf_mtl, texts/s", "times", "of the rounds"]
    report(f"Throughput of pipelines on {options.set}", columns, cells, {"texts": len(texts), "runs": facts})


def _ours(pipe: Any, names: Sequence[str], size: int, texts: Sequence[str]) -> None:
    if size == 1:
        for text in texts:
            pipe(text, tasks=names)
    else:
        pipe(list(texts), tasks=names, batch_size=size)


def _theirs(pipes: Sequence[Any], size: int, texts: Sequence[str]) -> None:
    for pipe in pipes:
        if size == 1:
            for text in texts:
                pipe(text)
        else:
            pipe(list(texts), batch_size=size)


if __name__ == "__main__":
    sys.exit(main())
