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


def test_what_a_user_sends_along_goes_by_its_shape() -> None:
    planted = {
        "url": "http://u:pl@nted1@host/x?access_key=planted2&sig=planted3&x=1#y@z",
        "again": "https://planted4@host/",
        "headers": {"X-Auth": "planted5", "X-Forwarded": "Bearer planted6", "Author": "somebody"},
        "body": '{"user": "ann", "password": "pla\\"nted7", "apiKey":"planted8", "n": 1}',
    }
    found = str(Redactor([]).document(planted))
    assert "nted" not in found
    for kept in ("host/x", "x=1", "#y@z", "somebody", '"user": "ann"', '"n": 1'):
        assert kept in found


def test_prose_stays() -> None:
    for text in ("Basic authentication failed", "the bearer is gone", "10:30 at host a@b", "no password is set"):
        assert Redactor([]).text(text) == text


def test_a_password_that_is_a_name_too_blanks_no_name() -> None:
    """`test` is an environment and `aftershock` begins each lease: a record without them could not be judged or healed by."""
    redactor = Redactor(["test", "aftershock", "covid"])
    document = {"spec": {"environment": "test", "stack": "test"}, "judgeBy": ["10k", "covid"], "hypothesis": "a test"}
    assert redactor.document(document) == {**document, "hypothesis": f"a {MARK}"}
    record = {"lease": "aftershock.latency.k3f9a2x1.1790000000", "target": "test", "saw": "test failed"}
    assert redactor.tree(record) == {**record, "saw": f"{MARK} failed"}
