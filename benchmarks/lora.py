"""What adapters cost and save: parameters, processor time of a step, peak memory and saved size, against full training.

Every contestant trains the same mixed batches of four tasks on generated rows, in a fresh process, in turn.

    python benchmarks/lora.py --encoder ENCODER
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from generated import save_encoder
from reporting import fresh, in_turn, parse, peak_megabytes, report
from step_cost import ProcessorClock, step_milliseconds, step_trainer

#: Name -> adapter. The first is what the others are compared with.
CONTESTANTS: dict[str, dict[str, Any] | None] = {
    "full training": None,
    "LoRA, r 8, query and value": {"type": "LORA", "r": 8, "target_modules": ["query", "value"]},
    "LoRA, r 16, all linear layers": {"type": "LORA", "r": 16},
    "DoRA, r 16, all linear layers": {"type": "LORA", "r": 16, "use_dora": True},
    "IA3, all linear layers": {"type": "IA3"},
}


def _train(options: argparse.Namespace) -> dict[str, float]:
    """Train one contestant; return what it cost."""
    clock = ProcessorClock()
    trainer = step_trainer(options, clock, {}, peft_config=CONTESTANTS[options.contestant])
    trainer.train()
    peak = peak_megabytes()
    folder = Path(options.work, "saved")
    trainer.model.save_pretrained(folder)
    held = [value for state in trainer.optimizer.state.values() for value in state.values() if hasattr(value, "numel")]
    return {
        "parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "milliseconds": step_milliseconds(clock),
        "optimizer": sum(value.numel() * value.element_size() for value in held) / 2**20,
        "megabytes": peak,
        "saved": sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 2**20,
    }


def main() -> None:
    """Run one contestant, or take turns and print the table."""
    parser = parse(__doc__)
    parser.add_argument("--contestant", choices=CONTESTANTS)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as options.work:
        if options.contestant:
            print(json.dumps(_train(options)))
            return
        names = list(CONTESTANTS)
        if options.quick:
            options.encoder, options.steps, options.rounds = save_encoder(Path(options.work)), 4, 1
            names = names[:2]
        if not options.encoder:
            parser.error("--encoder is needed, or --quick")
        given = ["--encoder", options.encoder, "--steps", options.steps]
        runs = in_turn({n: partial(fresh, __file__, "--contestant", n, *given) for n in names}, options.rounds)
    found = {name: {key: statistics.median(run[key] for run in each) for key in each[0]} for name, each in runs.items()}
    first = found[names[0]]
    table = [
        [
            name,
            f"{cost['parameters']:,.0f}",
            f"{cost['milliseconds']:.0f}",
            f"{cost['milliseconds'] / first['milliseconds']:.2f}",
            f"{cost['optimizer']:.1f}",
            f"{cost['megabytes']:.0f}",
            f"{cost['saved']:.1f}",
        ]
        for name, cost in found.items()
    ]
    head = ["training", "parameters that learn", "processor ms a step", f"against {names[0]}", "MB of the optimizer"]
    report("Adapters against full training", [*head, "peak MB of the process", "MB saved"], table, found)


if __name__ == "__main__":
    main()
