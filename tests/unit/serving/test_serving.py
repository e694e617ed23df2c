"""What the server answers, what it refuses, and that nothing hangs."""

import itertools
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from hf_mtl import MultiTaskPipeline
from hf_mtl.serving import ServerSettings
from hf_mtl_light.errors import UserError
from tests.serving import ask, connect, running, wait_until
from tests.unit.pipelines.scripts import TEXTS, make_model, make_tokenizer

PIPE = MultiTaskPipeline(make_model(), make_tokenizer())
INPUTS = [
    *TEXTS,
    TEXTS[:3],
    {"text": TEXTS[0], "text_pair": TEXTS[1]},
    [{"tokens": ["good", "film"]}, TEXTS[2]],
    {"text": " ".join(TEXTS * 4)},
    [],
    "",
]
PARAMETERS = [
    {},
    {"tasks": ["topic"]},
    {"tasks": ["names", "words"], "aggregation_strategy": "first"},
    {"tasks": ["tones", "mood"], "top_k": 2},
    {"top_k": None},
    {"tasks": ["tones"], "thresholds": {"tones": {"x": 0.1}}},
    {"stride": 4, "max_length": 24},
    {"tasks": ["stars", "names"], "max_length": 12},
]


def close(one, two):
    """Return whether answers are equal: numbers nearly, all else exactly."""
    if isinstance(one, dict):
        return list(one) == list(two) and all(close(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(close(a, b) for a, b in zip(one, two, strict=True))
    return one == pytest.approx(two, abs=1e-5) if isinstance(one, float) else one == two


@pytest.fixture(scope="module")
def server():
    with running(PIPE, max_text_length=2000, max_inputs=20, max_body=100_000, body_timeout=0.6, grace=5.0) as server:
        yield server


def test_requests_of_many_threads_are_answered_as_one_after_the_other(server):
    asked = list(itertools.product(range(len(INPUTS)), range(len(PARAMETERS))))
    expected = {(i, j): PIPE(INPUTS[i], **PARAMETERS[j]) for i, j in asked}
    jobs = list(itertools.islice(itertools.cycle(asked), 1000))
    before = server.passes.passes, server.passes.answered

    def send(own):
        wrong = []
        with closing(connect(server)) as connection:
            for i, j in own:
                status, answer, _ = ask(connection, {"inputs": INPUTS[i], "parameters": PARAMETERS[j]})
                if status != 200 or not close(answer, expected[i, j]):
                    wrong.append((INPUTS[i], PARAMETERS[j], answer))
        return wrong

    with ThreadPoolExecutor(32) as pool:
        assert [wrong for found in pool.map(send, (jobs[i::32] for i in range(32))) for wrong in found] == []
    passes, answered = server.passes.passes - before[0], server.passes.answered - before[1]
    assert answered > 1.5 * passes, "requests that come together share passes"


_DEEP = b'{"inputs": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"

#: A body, the status, and what the answer says.
REFUSED = {
    "no body": (b"", 422, "body"),
    "no JSON": (b'{"inputs": ', 400, "no JSON"),
    "another encoding": ('{"inputs": "\xe9"}'.encode("latin-1"), 400, "no JSON"),
    "nested deeply": (_DEEP, (400, 422), ""),
    "a number of many digits": (b'{"inputs": "a", "parameters": {"top_k": ' + b"9" * 5000 + b"}}", (400, 422), ""),
    "no inputs": ({}, 422, "inputs"),
    "a field that nobody reads": ({"inputs": "a", "task": "mood"}, 422, "'task'"),
    "a parameter that nobody reads": ({"inputs": "a", "parameters": {"topk": 1}}, 422, "'topk'"),
    "a parameter of the wrong type": ({"inputs": "a", "parameters": {"stride": "4"}}, 422, "stride"),
    "a task that does not exist": ({"inputs": "a", "parameters": {"tasks": ["moods"]}}, 422, "Did you mean 'mood'?"),
    "an option that no task reads": ({"inputs": "a", "parameters": {"tasks": ["stars"], "top_k": 1}}, 422, "top_k"),
    "a threshold above 1": ({"inputs": "a", "parameters": {"thresholds": 2}}, 422, "[0, 1]"),
    "a threshold that is no number": (b'{"inputs": "a", "parameters": {"thresholds": NaN}}', (400, 422), ""),
    "windows of too many tokens": ({"inputs": "a", "parameters": {"max_length": 65}}, 422, "max_length"),
    "windows that share too much": ({"inputs": "a", "parameters": {"stride": 60}}, 422, "stride"),
    "a number for a text": ({"inputs": [1]}, 422, "inputs[0]"),
    "null for a text": ({"inputs": None}, 422, "inputs"),
    "a file of the server": ({"inputs": {"image": "/etc/passwd"}}, 422, "no task that is asked"),
    "a row without a text": ({"inputs": [{"text_pair": "a"}]}, 422, "row 0"),
    "half of a surrogate pair": (b'{"inputs": "\\ud800"}', 422, "surrogate"),
    "half of a surrogate pair as a key": (b'{"inputs": {"\\ud800": "a"}}', 422, ""),
    "half of a surrogate pair as a task": (b'{"inputs": "a", "parameters": {"tasks": ["\\ud800"]}}', 422, "task"),
    "a text that is too long": ({"inputs": ["a", "a" * 2001]}, 422, "input 1"),
    "words that are too long": ({"inputs": {"tokens": ["a"] * 1001}}, 422, "input 0"),
    "a text too long for its choices": ({"inputs": {"text": "a" * 500, "choices": ["a"] * 5}}, 422, "input 0"),
    "too many texts": ({"inputs": ["a"] * 21}, 422, "at most 20"),
    "a body that is too large": (b'{"inputs": "' + b"a" * 200_000 + b'"}', 413, "100,000 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_body_gets_a_status_and_a_reason(server, name):
    body, status, reason = REFUSED[name]
    found, answer, _ = ask(server, body)
    assert found in (status if isinstance(status, tuple) else (status,)), answer
    assert reason in answer["detail"]
    assert len(answer["detail"]) < 1000
    assert ask(server, {"inputs": "good"})[0] == 200


def test_other_addresses_say_what_the_server_is(server):
    status, answer, _ = ask(server, path="/info", method="GET")
    assert status == 200
    assert [task["name"] for task in answer["tasks"]] == [task.name for task in PIPE.model.tasks]
    assert answer["tasks"][0]["labels"] == ["arts", "money", "sports"]
    assert ask(server, path="/health", method="GET")[1] == {"status": "ok", "queued": 0}
    assert "/predict" in ask(server, path="/openapi.json", method="GET")[1]["paths"]
    assert ask(server, path="/nowhere", method="GET")[0] == 404
    assert ask(server, path="/predict", method="GET")[0] == 405


def raw(server, data):
    """Return a socket that has sent some bytes."""
    host, port = server.url.removeprefix("http://").split(":")
    client = socket.create_connection((host, int(port)), timeout=20)
    client.sendall(data)
    return client


HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 60\r\n\r\n"


def test_slow_clients_are_refused_and_hold_nobody_up(server):
    slow = [raw(server, HEAD + b'{"inputs": ') for _ in range(8)]
    silent = [raw(server, b""), raw(server, b"POST /predict HT"), raw(server, b"\x16\x03\x01 no HTTP\r\n\r\n")]
    left = raw(server, HEAD + b"{")
    left.close()
    assert ask(server, {"inputs": "good"})[0] == 200
    for client in slow:
        assert client.recv(1000).startswith(b"HTTP/1.1 408 ")
    assert silent[2].recv(1000).startswith(b"HTTP/1.1 400 ")
    for client in (*slow, *silent):
        client.close()


class Gate:
    """A pipeline whose passes wait until they are let through."""

    def __init__(self):
        self.opened = threading.Event()
        self.opened.set()
        self.entered = threading.Event()

    def answerer(self, **options):
        answerer = PIPE.answerer(**options)
        if not options:
            run = answerer.run

            def gated(windows, tasks):
                self.entered.set()
                assert self.opened.wait(20)
                if any(len(window.ids) == 7 for window in windows):
                    raise RuntimeError("a window of seven tokens")
                return run(windows, tasks)

            answerer = PIPE.answerer(batch_size=10_000)  # not the one that the pipeline keeps
            answerer.run = gated
        return answerer


def held(gate, server, count):
    """Return the futures of requests that wait before the gate."""
    gate.entered.clear()
    gate.opened.clear()
    pool = ThreadPoolExecutor(count)
    work = [pool.submit(ask, server, {"inputs": "good"}) for _ in range(count)]
    pool.shutdown(wait=False)
    assert gate.entered.wait(20)
    wait_until(lambda: server.answering.queued == count)
    return work


def test_a_full_queue_says_when_to_come_again():
    gate = Gate()
    with running(gate, max_queue=3, max_inputs=3) as server:
        work = held(gate, server, 3)
        status, answer, headers = ask(server, {"inputs": "good"})
        assert (status, "queue is full" in answer["detail"]) == (429, True)
        assert 1 <= int(headers["Retry-After"]) <= 60
        assert ask(server, path="/health", method="GET")[1] == {"status": "ok", "queued": 3}
        gate.opened.set()
        assert [future.result()[0] for future in work] == [200] * 3
        assert ask(server, {"inputs": ["good"] * 3})[0] == 200


def test_a_request_that_takes_too_long_is_given_up_and_the_next_is_answered():
    gate = Gate()
    with running(gate, request_timeout=0.3) as server:
        work = held(gate, server, 2)
        assert [future.result()[0] for future in work] == [503] * 2
        gate.opened.set()
        assert ask(server, {"inputs": "good"})[0] == 200
        assert server.answering.queued == 0


def test_a_pass_that_fails_fails_for_its_own_request_alone():
    gate = Gate()
    with running(gate) as server, ThreadPoolExecutor(6) as pool:
        held(gate, server, 1)
        texts = ["good good good good good" if i == 2 else "good film" for i in range(6)]
        work = [pool.submit(ask, server, {"inputs": text}) for text in texts]
        wait_until(lambda: server.passes.waiting == 6)
        gate.opened.set()
        found = [future.result()[:2] for future in work]
        assert [status for status, _ in found] == [500 if i == 2 else 200 for i in range(6)]
        assert "RuntimeError" in found[2][1]["detail"]
        assert "seven tokens" not in json.dumps(found[2][1])


def test_a_server_that_stops_answers_what_it_has_admitted_and_refuses_the_rest():
    gate = Gate()
    with running(gate, grace=5.0) as server:
        work = held(gate, server, 4)
        with closing(raw(server, HEAD + b'{"inputs": ')) as slow:
            wait_until(lambda: len(server.server_state.connections) >= 5)
            server.should_exit = True
            assert slow.recv(1000).startswith(b"HTTP/1.1 503 ")
        gate.opened.set()
        assert [future.result()[0] for future in work] == [200] * 4
    with pytest.raises(OSError, match="refused"):
        ask(server, {"inputs": "good"})


def test_a_server_that_stops_gives_up_what_its_grace_is_too_short_for():
    gate = Gate()
    with running(gate, grace=0.3) as server:
        work = held(gate, server, 2)
        server.should_exit = True
        assert [future.result()[:2] for future in work] == [
            (503, {"detail": "the server stops. Send the request again, to another one."})
        ] * 2
        gate.opened.set()


@pytest.mark.parametrize("wrong", [{"max_queue": 0}, {"grace": -1.0}, {"max_queue": 8, "max_inputs": 9}])
def test_settings_that_answer_nobody_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        ServerSettings(**wrong)
