"""What answers where Patroni or etcd should, and is neither: one message, whatever it says."""

from collections.abc import Callable

import pytest

from aftershock.adapters import etcd, patroni
from aftershock.errors import TargetError
from planted import response, serving

ASKED: list[Callable[[str], object]] = [
    patroni.cluster,
    patroni.agreed,
    lambda url: etcd.value("127.0.0.1", int(url.rpartition(":")[2]), "key"),
]


@pytest.mark.parametrize(
    "said", [b"", b"[]", b"7", b"\xff\xfe", b'{"members": 3, "kvs": [{"value": "?"}], "synchronous_mode": []}']
)
@pytest.mark.parametrize("ask", ASKED, ids=["cluster", "agreed", "etcd"])
def test_nonsense_is_told_as_such(ask: Callable[[str], object], said: bytes) -> None:
    with serving(lambda _: response(200, said)) as server, pytest.raises(TargetError, match="what answers at"):
        ask(server.url)


@pytest.mark.parametrize(
    ("said", "held"), [(b"{}", None), (b'{"kvs": [{"value": "Nw=="}]}', "7"), (b'{"kvs": [{"key": "aw=="}]}', "")]
)
def test_etcd_leaves_out_what_is_empty(said: bytes, held: str | None) -> None:
    with serving(lambda _: response(200, said)) as server:
        assert etcd.value("127.0.0.1", int(server.url.rpartition(":")[2]), "key") == held
