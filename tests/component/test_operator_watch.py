"""kopf's watch may fail; the operator whose watch it is goes on, and watches anew."""

import json
from pathlib import Path

from control_plane.conftest import until
from control_plane.operating import Part
from planted import Asked, response, serving

TREE = b"Content-Type: application/json\r\n"
BROKEN_OFF = b"HTTP/1.1 200 OK\r\n" + TREE + b"Content-Length: 500\r\n\r\n{"


def test_a_watch_that_fails_is_begun_anew_beside_work_that_goes_on(tmp_path: Path) -> None:
    """The connection ends in the middle of what kopf asks for at its start, again and again: an error that it doesn't bear."""
    with serving(_answer, close=True) as server:
        operator = Part(
            ["operator", "--launcher", "child", "--namespace", "here"], _kubeconfig(tmp_path, server.url), tmp_path
        )
        operator.start()
        try:
            operator.until_said("the watch ended", 2)
            listed = len(_lists(server.asked))
            until(lambda: len(_lists(server.asked)) > listed)  # so the work goes on
            assert operator.end() == 0
        finally:
            operator.kill()


def _answer(asked: Asked) -> bytes:
    """Know our kinds, of which there are none; break off what only kopf asks."""
    if asked.target in {"/api", "/apis"}:
        return BROKEN_OFF
    return response(200, json.dumps({"metadata": {"resourceVersion": "1"}, "items": []}).encode(), TREE)


def _lists(asked: list[Asked]) -> list[Asked]:
    return [each for each in asked if each.target.partition("?")[0].endswith("/experiments")]


def _kubeconfig(folder: Path, url: str) -> Path:
    path = folder / "kubeconfig"
    tree = {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": url}}],
        "users": [{"name": "it", "user": {"token": "t"}}],
    }
    path.write_text(json.dumps(tree))
    return path
