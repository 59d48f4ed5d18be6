"""PromQL indicators against a server that answers as Prometheus does."""

import json

import pytest

from aftershock.model.stack import Indicator, PromqlProbe
from aftershock.model.units import Duration
from planted import Asked, measure, order, response, serving

QUERY = 'sum(rate(http_requests_total{code="200"}[1m]))'


def vector(*values: str) -> bytes:
    result = [{"metric": {}, "value": [1790000000.0, value]} for value in values]
    return response(200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode())


def promql(url: str) -> Indicator:
    probe = PromqlProbe(url=url, query=QUERY, at_least=0.9, at_most=2.0)
    return Indicator(name="rate", every=Duration(0.02), timeout=Duration(1), promql=probe)


@pytest.mark.parametrize(
    ("answer", "kind", "note"),
    [
        (vector("1.5"), None, None),
        (vector("0.5"), "value", None),
        (vector("2.5"), "value", None),
        (vector(), "unsent", "no sample"),
        (vector("NaN"), "unsent", "no sample"),
        (vector("1", "1"), "body", "2 samples"),
        (response(200, b"<html>"), "body", "no instant vector"),
        (response(400, b'{"status":"error"}'), "status-400", None),
    ],
)
def test_sample(answer: bytes, kind: str | None, note: str | None) -> None:
    asked: list[Asked] = []

    def prometheus(each: Asked) -> bytes:
        asked.append(each)
        return answer

    with serving(prometheus) as server:
        measured = measure(order([promql(f"{server.url}/prometheus/")]), 0.3)
    planned, unsent, good, bad = measured.total()
    assert planned > 5
    assert unsent == (planned if kind == "unsent" else 0)
    assert good == (planned if kind is None else 0)
    assert bad == ({} if kind in {None, "unsent"} else {kind: planned})
    assert len(measured.notes) == (note is not None), "said once"
    assert note is None or note in measured.notes[0]
    assert asked[0].target == (
        "/prometheus/api/v1/query?query=sum%28rate%28http_requests_total%7Bcode%3D%22200%22%7D%5B1m%5D%29%29"
    )
