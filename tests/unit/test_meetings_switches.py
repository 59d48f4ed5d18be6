"""The meetings service's switches and its token bucket."""

from pathlib import Path

import pytest

from aftershock.stacks.meetings.bucket import Bucket
from aftershock.stacks.meetings.switches import SwitchError, read

NEEDED = {"PORT": "8080", "DATABASE_DSN": "host=x"}


def test_off_unless_switched_on() -> None:
    found = read(NEEDED)
    assert (found.pool_size, found.rate_limit, found.host) == (0, 0.0, "127.0.0.1")
    assert read({**NEEDED, "POOL_SIZE": "", "RATE_LIMIT": ""}) == found


def test_switched_on(tmp_path: Path) -> None:
    file = tmp_path / "dsn"
    file.write_text("host=y\n")
    found = read({"PORT": "1", "DATABASE_DSN_FILE": str(file), "POOL_SIZE": "10", "RATE_LIMIT": "2.5"})
    assert (found.dsn, found.pool_size, found.rate_limit) == ("host=y", 10, 2.5)


def test_other_regions_are_named_with_their_caches(tmp_path: Path) -> None:
    file = tmp_path / "caches"
    file.write_text("us-west redis://:word@127.0.0.1:1/0\neu-west redis://127.0.0.1:2/0\n")
    told = {**NEEDED, "CACHE_URL": "redis://127.0.0.1", "CACHES_ELSEWHERE_FILE": str(file)}
    found = read({**told, "CACHE": "all"}).caches_elsewhere
    assert found == {"us-west": "redis://:word@127.0.0.1:1/0", "eu-west": "redis://127.0.0.1:2/0"}
    assert read({**told, "CACHE": "off"}).caches_elsewhere == read(NEEDED).caches_elsewhere == {}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"PORT": "x"}, "PORT"),
        ({"POOL_SIZE": "-1"}, "POOL_SIZE"),
        ({"RATE_LIMIT": "nan"}, "RATE_LIMIT"),
        ({"STATEMENT_TIMEOUT": "inf"}, "STATEMENT_TIMEOUT"),
        ({"DATABASE_DSN": ""}, "DATABASE_DSN"),
        ({"CACHE": "all", "CACHE_URL": "redis://x", "CACHES_ELSEWHERE": "us-west"}, "CACHES_ELSEWHERE"),
        ({"DATABASE_DSN": "", "DATABASE_DSN_FILE": "/nonexistent"}, "DATABASE_DSN_FILE"),
    ],
)
def test_a_wrong_one_is_named(wrong: dict[str, str], named: str) -> None:
    with pytest.raises(SwitchError, match=named):
        read({**NEEDED, **wrong})


def test_a_bucket_lets_its_rate_through_and_a_second_at_once() -> None:
    bucket = Bucket(10, now=100.0)
    assert sum(bucket.take(100.0) for _ in range(50)) == 10
    assert sum(bucket.take(100.5) for _ in range(50)) == 5
    assert sum(bucket.take(1000.0) for _ in range(50)) == 10  # a quiet quarter of an hour earns no more than a second


def test_a_slow_bucket_still_lets_one_through() -> None:
    bucket = Bucket(0.5, now=0.0)
    assert [bucket.take(float(second)) for second in range(5)] == [True, False, True, False, True]
