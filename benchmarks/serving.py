"""Requests a second and p99: hf-mtl serve, with torch and ONNX, against one FastAPI process of eight stock pipelines.

Every side answers eight tasks for one text a request, with the same weights, in a process by itself; clients keep
their connection open and send the next request once they have the answer. Contestants take turns, and the ratio of each
round is taken. The stock application is the usual one: an endpoint that calls each pipeline.

    python benchmarks/serving.py --encoder ENCODER --data DATA --set sst2
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from generated import inputs
from real_data import load_folder
from reporting import in_turn, parse, report


def prepare(encoder: str, folder: str, exports: bool) -> None:
    """Save a model with eight tasks and, where it is measured, its ONNX graph."""
    import torch
    from stock_pipelines import eight_tasks
    from transformers import AutoTokenizer

    from hf_mtl import MultiTaskModel, MultiTaskPipeline
    from hf_mtl.export import export_onnx

    torch.manual_seed(0)
    model, tokenizer = MultiTaskModel.from_encoder(encoder, eight_tasks()), AutoTokenizer.from_pretrained(encoder)
    MultiTaskPipeline(model, tokenizer).save_pretrained(Path(folder) / "torch")
    if exports:
        export_onnx(model, tokenizer, Path(folder) / "onnx")


def serve(kind: str, encoder: str, folder: str, ready: Any) -> None:
    """Serve one contestant on a free port, which goes into a queue."""
    from transformers import AutoTokenizer, pipeline

    from hf_mtl import MultiTaskModel, OnnxPredictor
    from hf_mtl.serving import ServerSettings, make_app, make_server

    settings = ServerSettings()
    model = str(Path(folder) / "torch")
    if kind == "stock":
        from stock_pipelines import stock_pipelines

        loaded = MultiTaskModel.from_pretrained(model)
        pipes = stock_pipelines(loaded, encoder, AutoTokenizer.from_pretrained(model), aggregation_strategy="simple")
        app = stock_app(pipes)
    elif kind == "torch":
        app = make_app(pipeline("multi-task", model=model, device="cpu"), kind, settings=settings)
    else:
        app = make_app(OnnxPredictor(Path(folder) / "onnx"), kind, settings=settings)
    make_server(app, "127.0.0.1", 0, settings, ready.put).run()


def stock_app(pipes: dict[str, Any]) -> Any:
    """Return the application that calls one pipeline after the other; FastAPI runs it in its threads."""
    import asyncio

    from fastapi import FastAPI

    app = FastAPI()
    app.state.stopping = asyncio.Event()
    app.state.answering = type("None", (), {"passes": None})

    @app.post("/predict")
    def predict(body: dict[str, Any]) -> Any:
        found = {name: pipe(body["inputs"]) for name, pipe in pipes.items()}
        return json.loads(json.dumps(found, default=float))  # the scores of entities are numpy's

    return app


def load(url: str, texts: Sequence[str], clients: int, requests: int) -> dict[str, float]:
    """Return requests a second, and the 99th percentile of their times in milliseconds."""

    def client(number: int) -> list[float]:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=300)
        times = []
        for i in range(number, requests, clients):
            body = json.dumps({"inputs": texts[i % len(texts)]})
            start = time.perf_counter()
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answers = json.loads(response.read())
            times.append(time.perf_counter() - start)
            if response.status != 200 or len(answers) != 8:
                raise RuntimeError(f"{response.status}: {answers}")
        connection.close()
        return times

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        times = sorted(value for own in pool.map(client, range(clients)) for value in own)
    return {"rate": requests / (time.perf_counter() - start), "p99": 1000 * times[int(0.99 * (len(times) - 1))]}


def main() -> None:
    """Start the contestants, load each in turn, and print the medians."""
    parser = parse(__doc__)
    parser.add_argument("--set", default="sst2", help="the folder of --data whose texts are sent")
    parser.add_argument("--requests", type=int, default=256, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    options = parser.parse_args()
    with inputs(parser, options), tempfile.TemporaryDirectory() as folder:
        if options.quick:
            options.requests, options.rounds, options.clients = 8, 1, [1, 4]
        texts = list(load_folder(Path(options.data) / options.set)["test"]["text"][:512])
        # Forked where figures mean nothing: a new process imports for seconds.
        context: Any = multiprocessing.get_context("fork" if options.quick else "spawn")
        first = context.Process(target=prepare, args=(options.encoder, folder, not options.quick))
        first.start()
        first.join()
        names = ["stock", "torch", *([] if options.quick else ["onnx"])]  # an export takes half a minute
        processes, urls = [], {}
        try:
            for name in names:
                ready = context.Queue()
                processes.append(context.Process(target=serve, args=(name, options.encoder, folder, ready)))
                processes[-1].start()
                urls[name] = ready.get(timeout=120)
            measure(options, texts, urls)
        finally:
            for process in processes:
                process.terminate()
                process.join()


def measure(options: Any, texts: list[str], urls: dict[str, str]) -> None:
    """Load each contestant with each number of clients."""
    cells, facts = [], []
    for clients in options.clients:
        contestants = {name: partial(load, url, texts, clients, options.requests) for name, url in urls.items()}
        if not options.quick:
            in_turn({name: partial(load, url, texts, clients, 2 * clients) for name, url in urls.items()}, 1)
        found = in_turn(contestants, options.rounds)
        rates = {name: [one["rate"] for one in runs] for name, runs in found.items()}
        tails = {name: statistics.median(one["p99"] for one in runs) for name, runs in found.items()}
        ratios = {
            name: statistics.median(a / b for a, b in zip(rates[name], rates["stock"], strict=True))
            for name in urls
            if name != "stock"
        }
        facts.append({"clients": clients, "rates": rates, "p99": tails, "ratios": ratios})
        for name in urls:
            times = f"{ratios[name]:.1f}" if name in ratios else "1"
            cells.append([f"{clients}, {name}", f"{statistics.median(rates[name]):.1f}", times, f"{tails[name]:.0f}"])
    columns = ["clients, server", "requests/s", "times", "p99, ms"]
    report(
        f"Serving eight tasks, texts of {options.set}", columns, cells, {"requests": options.requests, "runs": facts}
    )


if __name__ == "__main__":
    sys.exit(main())
