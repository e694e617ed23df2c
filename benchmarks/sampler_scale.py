"""What a batch costs with a thousand datasets and a billion rows: time to be ready, memory, time of a batch, of a jump.

python benchmarks/sampler_scale.py
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import numpy as np
from reporting import fresh, parse, peak_megabytes, report


def sizes_of(datasets: int, rows: int) -> dict[str, int]:
    """Return log-normally distributed sizes, the largest thousands of times the smallest, ``rows`` in sum."""
    weights = np.random.default_rng(0).lognormal(0, 1.5, datasets)
    sizes = np.maximum(1, weights / weights.sum() * rows).astype(int)
    sizes[-1] += rows - sizes.sum()
    return {f"dataset{number}": size for number, size in enumerate(sizes.tolist())}


def measure(datasets: int, rows: int, batching: str, batches: int) -> dict[str, float]:
    """Return the sampler's figures: seconds, MB and milliseconds."""
    from hf_mtl.data import MixtureBatchSampler
    from hf_mtl.samplers import ProportionalSampler

    sizes = sizes_of(datasets, rows)
    MixtureBatchSampler({"a": 3, "b": 4}, ProportionalSampler(), 2, batching=batching).batch(
        0, 0
    )  # loads what is loaded late
    before, start = peak_megabytes(), time.perf_counter()
    sampler = MixtureBatchSampler(sizes, ProportionalSampler(), 32, seed=1, batching=batching)
    sampler.batch(0, 0)
    ready = time.perf_counter() - start
    far = min(10**7, len(sampler) - batches - 1)
    jumps, walked = [], []
    for number in range(batches):
        # Far apart, so that nothing computed for one batch could serve the next.
        step = (number * 999_983) % far
        start = time.perf_counter()
        sampler.batch(1, step)
        jumps.append(1000 * (time.perf_counter() - start))
    for step in range(far, far + batches):
        start = time.perf_counter()
        sampler.batch(0, step)
        walked.append(1000 * (time.perf_counter() - start))
    return {
        "ready_seconds": ready,
        "megabytes": peak_megabytes() - before,
        "first_far_ms": walked[0],
        "batch_ms": statistics.median(walked),
        "slowest_in_twenty_ms": float(np.quantile(walked, 0.95)),
        "jump_ms": statistics.median(jumps),
    }


def main() -> None:
    """Measure both batchings, each in a fresh process."""
    parser = parse(__doc__)
    parser.add_argument("--measure", nargs=4, metavar=("DATASETS", "ROWS", "BATCHING", "BATCHES"), help="print JSON")
    options = parser.parse_args()
    if options.measure:
        datasets, rows, batching, batches = options.measure
        print(json.dumps(measure(int(datasets), int(rows), batching, int(batches))))
        return
    datasets, rows, batches = (100, 10**6, 50) if options.quick else (1000, 10**9, 2000)
    found: dict[str, Any] = {
        batching: fresh(__file__, "--measure", datasets, rows, batching, batches)
        for batching in ("mixed", "homogeneous")
    }
    cells = [
        [
            batching,
            f"{figures['ready_seconds'] * 1000:.1f} ms",
            f"{figures['megabytes']:.1f} MB",
            f"{figures['batch_ms']:.2f} ms",
            f"{figures['slowest_in_twenty_ms']:.2f} ms",
            f"{figures['first_far_ms']:.2f} ms",
            f"{figures['jump_ms']:.2f} ms",
        ]
        for batching, figures in found.items()
    ]
    columns = ["batching", "ready", "more memory", "a batch of 32", "slowest in twenty", "first at 10^7", "any other"]
    report(f"The sampler with {datasets:,} datasets and {rows:,} rows", columns, cells, found)


if __name__ == "__main__":
    sys.exit(main())
