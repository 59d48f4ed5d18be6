"""A lease's name carries all that a finder needs, and fits where names are cut off."""

from hypothesis import given
from hypothesis import strategies as st

from aftershock.core.lease import LONGEST, Lease, parse

TOKENS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=8, max_size=8)


@given(st.sampled_from(["db-connection-exhaustion", "link-down", "latency"]), TOKENS, st.integers(10**9, 10**10))
def test_a_name_reads_back_as_its_lease(fault: str, run: str, expires: int) -> None:
    lease = Lease(fault, run, expires)
    assert parse(lease.name) == lease
    assert len(lease.name) <= LONGEST


@given(st.text())
def test_what_is_not_ours_is_left_alone(name: str) -> None:
    lease = parse(name)
    assert lease is None or lease.name == name


def test_expiry_counts_on_the_clock_that_is_given() -> None:
    lease = Lease("latency", "abcd1234", 1790000000)
    assert not lease.expired(1789999999.9)
    assert lease.expired(1790000000.0)
