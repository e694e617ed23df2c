"""One text alone: what a call takes from the string to the answer, against Transformers' own pipelines.

Contestants have the same weights and take turns at each text; of each its processor time is taken, in one thread, and
of each text the ratio to the stock pipelines. ``session alone`` is onnxruntime on tokens that are ready: what is above
it is Python. Real texts are the test split of a folder of ``--data`` with a column ``text``.

    python benchmarks/one_text.py --encoder ENCODER --data DATA --set sst2 --texts 1000
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generated import inputs
from real_data import load_folder
from reporting import parse, report
from stock_pipelines import eight_tasks, stock_pipelines
from transformers import AutoTokenizer, pipeline

from hf_mtl import MultiTaskModel, OnnxPredictor
from hf_mtl.export import export_onnx
from hf_mtl.inference import pack_weights
from hf_mtl_light.inference import pad_windows

Answer = Callable[[str], Any]


def seconds(answer: Answer, text: str) -> float:
    """Return the processor seconds of an answer."""
    start = time.process_time()
    answer(text)
    return time.process_time() - start


def take_turns(contestants: dict[str, Answer], texts: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each contestant for each text, round after round; the order turns with each text."""
    for text in texts[:10]:  # warm-up
        for answer in contestants.values():
            answer(text)
    found: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for _ in range(rounds):
        for number, text in enumerate(texts):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                found[name].append(seconds(contestants[name], text))
    return found


def main() -> None:
    """Compare one head and eight, and print percentiles."""
    parser = parse(__doc__)
    parser.add_argument("--set", default="sst2", help="the folder of --data whose texts are answered")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with inputs(parser, options) as folder:
        if options.quick:
            options.texts, options.rounds = 8, 1
        texts = load_folder(Path(options.data) / options.set)["test"]["text"][: options.texts]
        measure(options, list(texts), Path(folder))


def measure(options: Any, texts: list[str], folder: Path) -> None:
    """Time all contestants."""
    tokenizer = AutoTokenizer.from_pretrained(options.encoder)
    torch.manual_seed(0)
    model = MultiTaskModel.from_encoder(options.encoder, eight_tasks())
    stock = stock_pipelines(model, options.encoder, tokenizer)
    plain, packed = (
        pipeline("multi-task", model=given, tokenizer=tokenizer, device="cpu") for given in (model, pack_weights(model))
    )
    names, cells, facts = list(stock), [], {}
    for chosen in (names[:1],) if options.quick else (names[:1], names):
        graphs = {}
        for quantize in (None,) if options.quick else (None, "int8"):
            place = folder / f"{len(chosen)}-{quantize}"
            export_onnx(model, tokenizer, place, tasks=chosen, quantize=quantize)
            graphs[quantize] = OnnxPredictor(place, threads=1)
        contestants: dict[str, Answer] = {
            "stock pipelines": lambda text, c=chosen: [stock[name](text) for name in c],
            "hf_mtl": lambda text, c=chosen: plain(text, tasks=c),
            "hf_mtl, packed weights": lambda text, c=chosen: packed(text, tasks=c),
            "OnnxPredictor": graphs[None],
            "its session alone": session_alone(graphs[None], texts),
        }
        if "int8" in graphs:
            contestants["OnnxPredictor, int8"] = graphs["int8"]
        # Eight stock pipelines take their time: of eight heads the rounds share the texts.
        few = texts if len(chosen) == 1 else texts[: -(-len(texts) // options.rounds)]
        found = take_turns(contestants, few, options.rounds)
        for name, values in found.items():
            ratios = np.divide(found["stock pipelines"], values).reshape(options.rounds, -1)
            by_round = [statistics.median(row) for row in ratios.tolist()]
            p50, p99 = (1000 * float(np.quantile(values, q)) for q in (0.5, 0.99))
            facts[f"{len(chosen)}, {name}"] = {"p50_ms": p50, "p99_ms": p99, "ratios": by_round}
            spread = f"{min(by_round):.2f} to {max(by_round):.2f}"
            heads = f"{len(chosen)}, {name}"
            cells.append([heads, f"{p50:.2f}", f"{p99:.2f}", f"{statistics.median(by_round):.2f}", spread])
    columns = ["heads, what answers", "p50, ms", "p99, ms", "times stock", "of the rounds"]
    report(f"One text alone, {len(texts)} texts of {options.set}", columns, cells, {"texts": len(texts), **facts})


def session_alone(predictor: OnnxPredictor, texts: Sequence[str]) -> Answer:
    """Return onnxruntime's share of an answer: the graph on tokens that are made beforehand."""
    answerer, ready = predictor.answerer(), {}
    for text in texts:
        made = pad_windows(answerer.encoder.encode([answerer.read(text, 0)])[0].windows, predictor.tokenizer)
        ready[text] = {name: made[name] for name in predictor.description.inputs}
    return lambda text: predictor.session.run(answerer.names, ready[text])


if __name__ == "__main__":
    sys.exit(main())
