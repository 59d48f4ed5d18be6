"""Verdicts told to a real HTTP server: one that takes them, ones that fail, and one that isn't there."""

import json
import queue
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from aftershock.adapters import secrets
from aftershock.runtime.cluster.notify import NOTIFIED, Notifier, Retries, is_news

QUICK = Retries(attempts=4, first=0.01, longest=0.05)


class Receiver(ThreadingHTTPServer):
    """Answers with the statuses it was given, one a request, then with 204; keeps what it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}
        self.got: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook/s3cr3t"


class _Answering(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.put((self.headers["Content-Type"], body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 204)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Teller:
    """A notifier, and what it said of each Run."""

    def __init__(self, url: str, form: Any = "cloudevents") -> None:
        self.told: queue.Queue[tuple[str, str]] = queue.Queue()
        self.counted: list[str] = []
        self.said: list[str] = []
        self.notifier = Notifier(
            url,
            form,
            told=lambda run, what: self.told.put((run["metadata"]["name"], what)),
            count=self.counted.append,
            say=self.said.append,
            retries=QUICK,
        )


def run(uid: str = "1f0c", verdict: str = "Failed", *, ago: float = 5, **status: Any) -> dict[str, Any]:
    finished = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat(timespec="seconds")
    return {
        "metadata": {"uid": uid, "name": "slow-1", "namespace": "shop"},
        "spec": {"experiment": "slow", "stack": "meetings"},
        "status": {
            "phase": "Finished", "verdict": verdict, "era": "1k", "because": "up <!channel> & down", "finished": finished,
            "conditions": [{"type": "FaultLanded", "status": "True", "reason": "Observed", "message": "seen"}], **status,
        },
    }  # fmt: skip


def test_a_verdict_is_told_once_as_a_cloud_event(receiver: Receiver) -> None:
    teller = Teller(receiver.url)
    going = run()
    going["status"] = {"phase": "Active"}
    for each in (going, run(), run(), run()):
        teller.notifier.saw(each)
    kind, event = receiver.got.get(timeout=30)
    assert teller.told.get(timeout=30)[0] == "slow-1"
    teller.notifier.end()
    assert kind == "application/cloudevents+json"
    required = {"specversion": "1.0", "id": "1f0c", "type": "dev.aftershock.run.finished.v1", "subject": "slow-1"}
    assert required.items() <= event.items()
    assert event["source"] == "/apis/aftershock.dev/v1alpha1/namespaces/shop/runs"
    assert datetime.fromisoformat(event["time"]).tzinfo is not None
    assert {"experiment": "slow", "stack": "meetings", "verdict": "Failed", "era": "1k"}.items() <= event[
        "data"
    ].items()
    assert event["data"]["conditions"][0]["type"] == "FaultLanded"
    assert receiver.got.empty() and teller.counted == ["sent"]


def test_slack_gets_its_form_and_nobody_is_mentioned(receiver: Receiver) -> None:
    teller = Teller(receiver.url, "slack")
    teller.notifier.saw(run())
    kind, message = receiver.got.get(timeout=30)
    teller.notifier.end()
    assert kind == "application/json"
    assert message["text"] == "Failed: shop/slow-1"
    assert "<" not in json.dumps(message)
    assert "up &lt;!channel&gt; &amp; down" in json.dumps(message)


def test_a_webhook_that_fails_is_tried_again_until_it_takes_it(receiver: Receiver) -> None:
    receiver.answers = [500, 429, 503]
    teller = Teller(receiver.url)
    teller.notifier.saw(run())
    name, what = teller.told.get(timeout=30)
    teller.notifier.end()
    assert receiver.got.qsize() == 4 and teller.counted == ["sent"] and "given up" not in what and name == "slow-1"


def test_tries_are_bounded_and_the_next_verdict_is_told_all_the_same(receiver: Receiver) -> None:
    receiver.answers = [503] * QUICK.attempts
    teller = Teller(receiver.url)
    teller.notifier.saw(run())
    teller.notifier.saw(run("another"))
    assert "given up: the webhook answered 503" in teller.told.get(timeout=30)[1]
    assert "given up" not in teller.told.get(timeout=30)[1]
    teller.notifier.end()
    assert teller.counted == ["given-up", "sent"] and receiver.got.qsize() == QUICK.attempts + 1
    assert "s3cr3t" not in "".join(teller.said)


def test_a_refusal_is_not_repeated_and_a_redirect_not_followed(receiver: Receiver) -> None:
    receiver.answers, receiver.headers = [400, 302], {"Location": receiver.url}
    teller = Teller(receiver.url)
    teller.notifier.saw(run())
    teller.notifier.saw(run("another"))
    assert "answered 400" in teller.told.get(timeout=30)[1]
    assert "answered 302" in teller.told.get(timeout=30)[1]
    teller.notifier.end()
    assert receiver.got.qsize() == 2


def test_a_webhook_that_is_not_there_is_given_up_and_its_url_never_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/hook/s3cr3t"
        teller = Teller(url)
        teller.notifier.saw(run())
        what = teller.told.get(timeout=30)[1]
        teller.notifier.end()
    assert "can't be reached" in what and "s3cr3t" not in what + "".join(teller.said)
    assert url in secrets.seen()


def test_an_end_does_not_wait_for_the_retries(receiver: Receiver) -> None:
    receiver.answers = [503]
    teller = Teller(receiver.url)
    teller.notifier._retries = Retries(attempts=9, first=3600, longest=3600)
    teller.notifier.saw(run())
    receiver.got.get(timeout=30)
    teller.notifier.end()
    assert teller.told.empty() and teller.counted == []  # the next operator tells it


def test_what_is_no_news_is_not_told() -> None:
    now = datetime.now(UTC)
    told = run()
    told["metadata"]["annotations"] = {NOTIFIED: "2026-01-01T00:00:00+00:00"}
    assert is_news(run(), now)
    assert not is_news(told, now)
    assert not is_news(run(ago=2 * 3600), now)
    assert not is_news(run(phase="Judging"), now)


def test_pauses_grow_to_a_bound_and_heed_what_was_asked() -> None:
    retries = Retries(attempts=9, first=1, longest=8)
    assert all(retries.pause(n) <= min(8, 2 ** (n - 1)) for n in range(1, 9))
    assert all(retries.pause(n) >= min(8, 2 ** (n - 1)) / 2 for n in range(1, 9))
    assert (retries.pause(1, 5.0), retries.pause(1, 500.0)) == (5.0, 8)
