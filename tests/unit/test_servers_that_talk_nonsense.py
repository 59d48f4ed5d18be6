"""What answers where Patroni or etcd should, and is neither: one message, whatever it says."""

from collections.abc import Callable

import pytest

from aftershock.adapters import etcd, patroni
from aftershock.errors import TargetError
from planted import response, serving

ASKED: list[Callable[[str], object]] = [
    patroni.cluster,
    patroni.agreed,
    lambda url: etcd.holds("127.0.0.1", int(url.rpartition(":")[2]), "key"),
]


@pytest.mark.parametrize(
    "said", [b"", b"[]", b"7", b"\xff\xfe", b'{"members": 3, "count": {}, "synchronous_mode": []}']
)
@pytest.mark.parametrize("ask", ASKED, ids=["cluster", "agreed", "etcd"])
def test_nonsense_is_told_as_such(ask: Callable[[str], object], said: bytes) -> None:
    with serving(lambda _: response(200, said)) as server, pytest.raises(TargetError, match="what answers at"):
        ask(server.url)


@pytest.mark.parametrize(("said", "holds"), [(b"{}", False), (b'{"count": "2"}', True), (b'{"count": "0"}', False)])
def test_etcd_writes_numbers_as_texts_and_leaves_zero_out(said: bytes, holds: bool) -> None:
    with serving(lambda _: response(200, said)) as server:
        assert etcd.holds("127.0.0.1", int(server.url.rpartition(":")[2]), "key") is holds
