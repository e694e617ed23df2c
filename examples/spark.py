# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-mtl[spark]"]
# ///
"""Answer a column of texts on a cluster of Spark, each task's answers as a column of JSON.

    python examples/spark.py MODEL INPUT OUTPUT

MODEL is a run folder that all machines see or a Hub id; INPUT and OUTPUT are folders of Parquet. Spark needs Java.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def answers(model: str) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """Return a function for ``mapInPandas``, which loads the model once for each partition."""

    def answer(batches: Iterable[Any]) -> Iterator[Any]:
        from transformers import AutoTokenizer

        from hf_mtl import MultiTaskModel
        from hf_mtl.inference import predict

        loaded, tokenizer = MultiTaskModel.from_pretrained(model), AutoTokenizer.from_pretrained(model)
        for batch in batches:
            found = list(predict(loaded, tokenizer, batch["text"].tolist()))
            yield batch.assign(**{task: [json.dumps(one[task]) for one in found] for task in loaded.task_heads})

    return answer


def main(model: str, rows: str, output: str) -> None:
    """Read rows, answer them, write them."""
    from pyspark.sql import SparkSession
    from transformers import AutoConfig

    import hf_mtl  # noqa: F401  # registers the config

    spark = SparkSession.builder.getOrCreate()
    frame = spark.read.parquet(rows)
    tasks = [task.name for task in AutoConfig.from_pretrained(model).tasks]
    schema = ", ".join([f"{name} {kind}" for name, kind in frame.dtypes] + [f"`{task}` string" for task in tasks])
    frame.mapInPandas(answers(model), schema=schema).write.parquet(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
