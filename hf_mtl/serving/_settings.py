"""What a server may be asked for, and how long it waits."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from hf_mtl_light.errors import UserError
from hf_mtl_light.inference import BATCH_TOKENS

__all__ = ["ServerSettings"]


@dataclass(frozen=True)
class ServerSettings:
    """Limits and waiting times.

    Args:
        batch_tokens: The most tokens of one pass of the encoder, padding counted.
        max_wait: Seconds that a pass waits for requests that are being tokenised; a request alone never waits.
        max_queue: Inputs that are admitted and not answered yet; a request beyond that gets 429.
        max_inputs: Inputs of one request.
        max_text_length: Characters of one input: of its texts, or of its words and the spaces between them. A text is
            counted once for each of its choices.
        max_body: Bytes of a request's body; of a picture base64 takes four bytes for three of its file.
        max_pixels: Width times height of a picture.
        body_timeout: Seconds that a request's body may take to arrive.
        request_timeout: Seconds from a request's admission to its answer.
        grace: Seconds that requests get to be answered once the server is stopped.
        threads: Requests that are tokenised or answered at a time.

    Raises:
        ValueError: If a number is not positive, or a request could never be admitted.
    """

    batch_tokens: int = BATCH_TOKENS
    max_wait: float = 0.005
    max_queue: int = 1024
    max_inputs: int = 256
    max_text_length: int = 50_000
    max_body: int = 4_000_000
    max_pixels: int = 16_000_000
    body_timeout: float = 20.0
    request_timeout: float = 60.0
    grace: float = 10.0
    threads: int = 32

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not value > 0 and not (field.name == "max_wait" and value == 0):
                raise UserError(f"{field.name} must be above 0, found {value!r}.")
        if self.max_inputs > self.max_queue:
            raise UserError(
                f"max_inputs={self.max_inputs} is above max_queue={self.max_queue}, so the largest requests could "
                "never be admitted. Lower the one or raise the other."
            )
