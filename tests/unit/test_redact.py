"""Planted secrets are found by value, by name and by shape; what only looks like one's name stays."""

from hypothesis import given
from hypothesis import strategies as st

from aftershock.core.redact import MARK, Redactor


def test_known_values_go_wherever_they_stand() -> None:
    redactor = Redactor(["s3cr3t-value", "s3cr3t"])
    assert redactor.tree({"a": ["x s3cr3t-value y", 7, None], "b": {"c": "s3cr3t"}}) == {
        "a": [f"x {MARK} y", 7, None],
        "b": {"c": MARK},
    }


def test_a_document_loses_what_stands_under_a_telling_name() -> None:
    document = {
        "headers": {"Authorization": "Basic Zm9v", "Accept": "text/plain"},
        "apiKey": "abc",
        "name": "token-service",
    }
    assert Redactor([]).document(document) == {
        "headers": {"Authorization": MARK, "Accept": "text/plain"},
        "apiKey": MARK,
        "name": "token-service",
    }


def test_references_to_secrets_stay_readable() -> None:
    document = {"password": {"env": "DB_PASSWORD"}, "dsn": {"file": "primary.dsn"}}
    assert Redactor([]).document(document) == document


def test_passwords_in_urls_and_messages_go_by_their_shape() -> None:
    text = Redactor([]).text("postgresql://app:hunter2@127.0.0.1/db and password='two words' and ?token=abc&x=1")
    assert "hunter2" not in text
    assert "two words" not in text
    assert "abc" not in text
    assert "x=1" in text


@given(st.text(min_size=4), st.text(), st.text())
def test_no_known_value_survives(secret: str, before: str, after: str) -> None:
    text = Redactor([secret]).text(before + secret + after)
    assert secret not in text or secret in MARK
