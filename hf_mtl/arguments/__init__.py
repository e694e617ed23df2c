"""What a training may be asked for: names, types and values of its arguments, judged without torch.

`MultiTaskFields` are the fields that this library adds to Transformers', `kinds_of_arguments` says which types each of
all fields takes, and `check_arguments` finds what is wrong with values where neither a model nor a device is needed.
`hf_mtl.MultiTaskTrainingArguments` checks the same, and what Transformers itself checks.
"""

from __future__ import annotations

from hf_mtl.arguments._averages import AVERAGES, ExponentialAverage, TailAverage, WeightAverage, make_average
from hf_mtl.arguments._check import check_arguments, kinds_of_arguments
from hf_mtl.arguments._kinds import check_field_types, described_kinds, kinds_of_fields, shown
from hf_mtl.arguments._own import MultiTaskFields
from hf_mtl.arguments._refused import REFUSED, check_values, given, refuse_fields

__all__ = [
    "AVERAGES",
    "REFUSED",
    "ExponentialAverage",
    "MultiTaskFields",
    "TailAverage",
    "WeightAverage",
    "check_arguments",
    "check_field_types",
    "check_values",
    "described_kinds",
    "given",
    "kinds_of_arguments",
    "kinds_of_fields",
    "make_average",
    "refuse_fields",
    "shown",
]
