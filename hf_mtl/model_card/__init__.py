"""The model card: ``README.md`` in the model's folder, written at every save.

`CardFacts` holds what is known of a model, `write_card` writes it. A card has sections between HTML comments,
``<!-- hf_mtl:begin results -->`` and ``<!-- hf_mtl:end results -->``. Only what is between them is written again;
all else, sections whose comments were removed, and metadata that was edited or added, is its editor's and stays.
"""

from __future__ import annotations

from hf_mtl.model_card._card import (
    add_tags,
    address_card,
    read_card,
    render_card,
    write_card,
    write_section,
)
from hf_mtl.model_card._facts import CardFacts, DatasetFacts, ResultFacts, public_name

__all__ = [
    "CardFacts",
    "DatasetFacts",
    "ResultFacts",
    "add_tags",
    "address_card",
    "public_name",
    "read_card",
    "render_card",
    "write_card",
    "write_section",
]
