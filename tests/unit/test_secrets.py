"""Secrets as they are found: what is none is said by name, and whatever was read is remembered for redaction."""

from pathlib import Path

import pytest

from aftershock.adapters import secrets
from aftershock.errors import InputError
from aftershock.model.metadata import Secret, SecretRef


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe", "is no text")], ids=repr
)
def test_what_is_no_secret_is_said_with_where_it_is(content: bytes, says: str, tmp_path: Path) -> None:
    reference = SecretRef(name="db", key="dsn")
    path = secrets.kept(tmp_path, reference)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    for secret in (Secret(file=str(path)), Secret(secret_ref=reference)):
        with pytest.raises(InputError, match=says) as refused:
            secrets.read(secret, tmp_path)
        assert "db" in refused.value.problem


def test_an_empty_variable_is_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_DSN", "")
    with pytest.raises(InputError, match="PLANTED_DSN is empty"):
        secrets.read(Secret(env="PLANTED_DSN"), tmp_path)


@pytest.mark.parametrize(
    "dsn", ["postgresql://user:hunter%2d2@[::1/db", "postgresql://user:hunter%2d2@127.0.0.1:none/db"]
)
def test_a_dsn_that_is_no_url_is_remembered_with_its_password(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED_DSN", dsn)
    assert secrets.read(Secret(env="PLANTED_DSN"), tmp_path) == dsn
    assert {dsn, "hunter%2d2", "hunter-2"} <= secrets.seen()
