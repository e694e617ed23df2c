"""What it costs data-parallel training that heads without rows take no part in a step: two processes, gloo, CPU.

Two ways are timed in turn in the same processes: `DistributedDataParallel` looks for parameters without a gradient
(``find_unused_parameters=True``, the way of this library), or every head is touched with a term of weight zero. Steps
are homogeneous: all heads but one are without rows. The second way gives them a gradient of zeros, by which AdamW
decays their weights.

    python benchmarks/unused_heads.py
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import time
from typing import Any

from reporting import parse, report

RANKS = 2


def measure(rank: int, port: int, heads: int, hidden: int, layers: int, steps: int, found: Any) -> None:
    """Time steps of both ways on one rank; rank 0 hands on the milliseconds of each step."""
    import torch
    import torch.distributed as dist
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel
    from transformers import BertConfig, BertModel

    from hf_mtl import MultiTaskModel, TaskConfig

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=RANKS)
    tasks = [TaskConfig(f"task{i}", "sequence-classification", labels=["a", "b", "c"]) for i in range(heads)]

    class Touching(nn.Module):
        """Touches every head; an empty slice costs no sum, and no weight can make it anything but zero."""

        def __init__(self, model: MultiTaskModel) -> None:
            super().__init__()
            self.model = model

        def forward(self, **inputs: Any) -> torch.Tensor:
            loss = self.model(**inputs).loss
            return loss + sum(p.flatten()[:0].sum() for p in self.model.heads.parameters())

    class Plain(Touching):
        """Leaves the heads without rows alone."""

        def forward(self, **inputs: Any) -> torch.Tensor:
            return self.model(**inputs).loss

    def built(kind: type[Touching]) -> DistributedDataParallel:
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=2000, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=4,
            intermediate_size=4 * hidden,
        )  # fmt: skip
        model = MultiTaskModel.from_encoder(BertModel(config), tasks).train()
        return DistributedDataParallel(kind(model), find_unused_parameters=kind is Plain)

    ways = {"looking for unused parameters": built(Plain), "touching every head": built(Touching)}
    random = torch.Generator().manual_seed(rank)
    times: dict[str, list[float]] = {way: [] for way in ways}
    for step in range(steps + 3):
        ids = torch.randint(5, 2000, (16, 24), generator=random)
        name = tasks[step % heads].name
        batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "rows": {name: torch.arange(16)}}
        labels = {name: torch.randint(0, 3, (16,), generator=random)}
        for way in list(ways)[:: 1 if step % 2 else -1]:
            dist.barrier()
            start = time.perf_counter()
            ways[way](**batch, labels=labels).backward()
            dist.barrier()
            if step >= 3:  # the first ones warm up
                times[way].append(1000 * (time.perf_counter() - start))
            ways[way].zero_grad()
    if rank == 0:
        found.put(json.dumps(times))
    dist.barrier()
    # Without destructors: those of gloo, run while its threads end, wait for each other now and then.
    os._exit(0)


def run(heads: int, hidden: int, layers: int, steps: int) -> dict[str, list[float]]:
    """Start the ranks and return the milliseconds of each step by way."""
    import torch.multiprocessing as multiprocessing

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Forks, since nothing has been computed here yet: they have what is imported already.
    found = multiprocessing.get_context("fork").SimpleQueue()
    given = port, heads, hidden, layers, steps, found
    multiprocessing.start_processes(measure, given, nprocs=RANKS, start_method="fork")
    return json.loads(found.get())


def main() -> None:
    """Time few and many heads."""
    options = parse(__doc__).parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    cases = [(5, 32, 2, 10)] if options.quick else [(5, 384, 6, 30), (100, 384, 6, 30)]
    rows, facts = [], {}
    for heads, hidden, layers, steps in cases:
        times = run(heads, hidden, layers, steps)
        medians = {way: statistics.median(found) for way, found in times.items()}
        looking, touching = medians.values()
        spread = [f"{a:.0f}-{b:.0f}" for a, *_, b in (statistics.quantiles(found, n=4) for found in times.values())]
        rows.append(
            (
                f"{heads} heads, {layers} layers of {hidden}",
                *(f"{median:.0f} ms ({part})" for median, part in zip(medians.values(), spread, strict=True)),
                f"{touching / looking:.2f}",
            )
        )
        facts[f"{heads} heads"] = {way: round(median, 2) for way, median in medians.items()}
    report(
        "Heads without rows in data-parallel training: median (quartiles) of a step's forward and backward",
        ("model", "looking for unused parameters", "touching every head", "second against first"),
        rows,
        {"milliseconds": facts},
    )


if __name__ == "__main__":
    main()
