"""What comes back from ledgers and from Prometheus, read from their JSON; orders and commands there and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aftershock.errors import InputError
from aftershock.model.metadata import Metadata
from aftershock.model.stack import HttpProbe, Indicator, Stack, StackSpec
from aftershock.model.units import Duration
from aftershock.probes import order as orders
from aftershock.probes.order import Finish, Order, Rates, Ready, Refused
from aftershock.probes.promql import samples
from aftershock.probes.readback import listed


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (b'["a", "b"]', {"a", "b"}),
        (b'[{"id": "a", "text": "x"}, {"id": 7}]', {"a", "7"}),
        (b'{"notes": [{"id": "a"}], "total": 1}', {"a"}),
        (b"[]", set()),
        (b'{"notes": []}', set()),
        (b'{"a": [], "b": []}', None),
        (b'{"total": 1}', None),
        (b'[{"name": "a"}]', None),
        (b'[["a"]]', None),
        (b"<html>", None),
        (b'"a"', None),
        (b"\xff", None),
    ],
)
def test_list_of_ids(body: bytes, ids: set[str] | None) -> None:
    assert listed(body) == ids


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1.5,"0.25"]}]}}', [0.25]),
        (b'{"status":"success","data":{"resultType":"vector","result":[]}}', []),
        (b'{"status":"success","data":{"resultType":"scalar","result":[1.5,"3"]}}', [3.0]),
        (b'{"data":{"resultType":"vector","result":[{"value":[1,"1"]},{"value":[1,"2"]}]}}', [1.0, 2.0]),
        (b'{"data":{"resultType":"vector","result":[{"value":[1,"x"]}]}}', None),
        (b'{"data":{"resultType":"vector","result":[{"value":1}]}}', None),
        (b'{"data":{"resultType":"vector","result":[7]}}', None),
        (b'{"data":{"resultType":"matrix","result":[]}}', None),
        (b'{"status":"error"}', None),
        (b"nonsense", None),
    ],
)
def test_samples(body: bytes, values: list[float] | None) -> None:
    assert samples(body) == values


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_garbage_never_raises(body: bytes) -> None:
    samples(body)
    listed(body)


def test_order_there_and_back() -> None:
    indicator = Indicator(name="join", every=Duration(0.02), timeout=Duration(1.5), http=HttpProbe(url="http://h/"))
    stack = Stack(
        api_version="aftershock.dev/v1alpha1",
        metadata=Metadata(name="s"),
        spec=StackSpec(era="1k", environment="test", indicators=[indicator]),
    )
    order = Order(
        counted="load", origin=12.5, token="k3f9a2x1", stack=stack, folder="/x", indicators=["join"], until=60.0
    )
    line = orders.encode(order)
    back = orders.read_order(line)
    assert line.count(b"\n") == 1
    assert back == order
    assert isinstance(back.stack.spec.indicators[0].every, Duration)


def test_commands_and_replies_there_and_back() -> None:
    rates = Rates([(1.0, 50.0), (2.5, 0.0)])
    assert orders.read_command(orders.encode(rates)) == rates
    assert orders.read_command(orders.encode(Finish())) == Finish()
    assert orders.read_reply(orders.encode(Ready())) == Ready()
    refused = orders.read_reply(orders.encode(Refused(input=True, problem="p", advice="a")))
    assert isinstance(refused, Refused)
    assert isinstance(refused.error(), InputError)


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"command": "explode"}', b"\xff\n"])
def test_what_is_no_command_is_an_input_error(line: bytes) -> None:
    with pytest.raises(InputError):
        orders.read_command(line)
    with pytest.raises(InputError):
        orders.read_order(line)
