"""Whom servers run as, where that can't be told on every machine."""

import os

import pytest

from aftershock.errors import StackError
from aftershock.stacks.account import unprivileged

NAMELESS = 4_000_000_123


def test_a_user_without_a_name_is_told_before_initdb_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """As containers have them that are run under any number."""
    monkeypatch.setattr(os, "geteuid", lambda: NAMELESS)
    with pytest.raises(StackError, match=f"user {NAMELESS} has none"):
        unprivileged()
