"""What reading a stream takes: memory and processor time over ten million generated rows, and a start at their end.

python benchmarks/streams.py
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from datasets import IterableDataset
from reporting import parse, report

from hf_mtl.data.streams import StreamReader


def _rows(shards: list[int], rows: int) -> Iterator[dict[str, str]]:
    for shard in shards:
        for row in range(rows):
            yield {"text": f"row {row} of shard {shard}", "mood": "good"}


def _megabytes() -> float:
    """Return the memory that the process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


def main() -> None:
    """Read all rows, and print the table."""
    options = parse(__doc__).parse_args()
    rows, buffer = (20_000 if options.quick else 10_000_000), 1000
    stream = IterableDataset.from_generator(_rows, gen_kwargs={"shards": list(range(8)), "rows": rows // 8})
    reader = StreamReader("stream", stream, ["text", "mood"], buffer)
    table, facts = [], {}
    started = time.process_time()
    for start in range(0, rows, buffer):
        reader.read(range(start, start + buffer))
        if start + buffer in (10 * buffer, rows // 2, rows):
            seconds, held = time.process_time() - started, _megabytes()
            table.append([f"{start + buffer:,}", f"{held:.0f}", f"{seconds:.1f}"])
            facts[str(start + buffer)] = {"megabytes": held, "seconds": seconds}
    started = time.process_time()
    again: Any = StreamReader("stream", stream, ["text", "mood"], buffer, state=reader.state)
    again.read([rows - 1])
    facts["resumed"] = {"seconds": time.process_time() - started}
    table.append(["the last block, from its state", "", f"{facts['resumed']['seconds']:.1f}"])
    report("Reading a stream", ["rows read", "MB of the process", "processor seconds"], table, facts)


if __name__ == "__main__":
    main()
