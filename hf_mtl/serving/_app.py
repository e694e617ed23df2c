"""The application: addresses, and a status for whatever goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from hf_mtl.serving._answering import Answering, FullError
from hf_mtl.serving._backend import Backend, described
from hf_mtl.serving._batching import LateError, StoppedError
from hf_mtl.serving._body import BodyLimits, problem
from hf_mtl.serving._decisions import SystemOneRequest
from hf_mtl.serving._requests import PredictRequest, Problem, check_length, mistake
from hf_mtl.serving._settings import ServerSettings
from hf_mtl_light.errors import UserError
from hf_mtl_light.inference import NotFiniteError

__all__ = ["make_app"]

_STATUSES: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body is no JSON."},
    408: {"model": Problem, "description": "The body did not arrive in time."},
    413: {"model": Problem, "description": "The body is too large."},
    422: {"model": Problem, "description": "A field, an input or an option is wrong."},
    429: {"model": Problem, "description": "The queue is full; Retry-After says for how many seconds."},
    500: {"model": Problem, "description": "The model's scores are no numbers, or the server has a bug."},
    503: {"model": Problem, "description": "The answer takes too long, or the server stops."},
}


def make_app(backend: Backend, name: str, kind: str = "torch", settings: ServerSettings | None = None) -> FastAPI:
    """Return the application that answers with a model.

    Args:
        backend: The model.
        name: Its name, for ``/info``.
        kind: What runs it, for ``/info``.
        settings: The limits; ``None``: the defaults.

    Returns:
        The application; its ``state.stopping`` is an event to be set when the server stops.
    """
    limits = settings or ServerSettings()
    stopping = asyncio.Event()
    answering = Answering(backend, limits, stopping)
    # A model of pictures alone reads no tokens.
    longest = getattr(answering.default.encoder, "max_length", None)
    pictures_alone = answering.default.reads_paths

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        answering.start()
        try:
            yield
        finally:
            answering.close()

    app = FastAPI(title="hf-mtl", version=version("hf-mtl"), summary=f"Answers of {name}.", lifespan=running)
    app.state.stopping = stopping
    app.state.answering = answering
    app.add_middleware(BodyLimits, settings=limits, stopping=stopping)
    _answer_errors(app)

    @app.post("/predict", responses=_STATUSES)
    async def predict(request: PredictRequest) -> Any:
        """Answer one text or picture, or many: a dict with an entry for each task, or a list of them."""
        answers, _ = await answering.answer(request.named(limits, pictures_alone), request.options())
        return JSONResponse(answers if isinstance(request.inputs, list) else answers[0])

    @app.post("/v1/systemone", responses=_STATUSES)
    async def decide(request: SystemOneRequest) -> Any:
        """Answer typed questions about a text or a picture: each names a task, and each option gets a probability."""
        state = request.read_state()
        check_length("state", state, limits)
        asked = request.asked(answering.default)
        options = {"tasks": list(dict.fromkeys(question.task for question in asked)), "top_k": None}
        [found], tokens = await answering.answer({"state": state}, options)
        return JSONResponse(
            {
                "model": name if request.model is None else request.model,
                "answers": {question.name: question.answer(found[question.task]) for question in asked},
                "usage": {"input_tokens": tokens, "output_tokens": 0},
            }
        )

    @app.get("/health", responses={503: {"model": Problem}})
    async def health() -> Response:
        """Say whether requests are answered, and how many inputs wait."""
        if stopping.is_set():
            return problem(503, "the server stops.")
        return JSONResponse({"status": "ok", "queued": answering.queued})

    @app.get("/info")
    async def info() -> dict[str, Any]:
        """Say what the model answers, and within which limits."""
        return {
            "model": name,
            "backend": kind,
            "version": version("hf-mtl"),
            "tasks": described(answering.default),
            "limits": {
                "max_length": longest,
                "max_inputs": limits.max_inputs,
                "max_text_length": limits.max_text_length,
                "max_body": limits.max_body,
                "max_pixels": limits.max_pixels,
                "max_queue": limits.max_queue,
            },
        }

    return app


def _answer_errors(app: FastAPI) -> None:
    """Give each kind of error its status."""

    @app.exception_handler(RequestValidationError)
    async def of_body(request: Request, error: RequestValidationError) -> Response:
        errors = error.errors()
        if errors[0]["type"] == "json_invalid":
            return problem(400, f"the body is no JSON: {errors[0]['ctx']['error']}.")
        return problem(422, mistake(errors))

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> Response:
        detail = "the body is no JSON." if error.status_code == 400 else f"{error.detail}."
        return problem(error.status_code, detail, dict(error.headers or {}))

    @app.exception_handler(UserError)
    async def of_user(request: Request, error: UserError) -> Response:
        return problem(500 if isinstance(error, NotFiniteError) else 422, str(error))

    @app.exception_handler(FullError)
    async def of_queue(request: Request, error: FullError) -> Response:
        headers = {"Retry-After": str(error.wait)}
        return problem(429, f"the queue is full. Try again in {error.wait} s.", headers)

    @app.exception_handler(LateError)
    async def of_time(request: Request, error: LateError) -> Response:
        return problem(503, "the answer takes too long. Send fewer or shorter inputs.", {"Retry-After": "1"})

    @app.exception_handler(StoppedError)
    async def of_stop(request: Request, error: StoppedError) -> Response:
        return problem(503, "the server stops. Send the request again, to another one.", {"Connection": "close"})

    @app.exception_handler(Exception)
    async def of_bug(request: Request, error: Exception) -> Response:
        return problem(500, f"this is a bug of hf-mtl: {type(error).__name__}. The server's log has its traceback.")
