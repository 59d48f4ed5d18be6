"""Whom a server runs as. PostgreSQL refuses to run as root, so root's servers belong to an account without rights."""

import os
import pwd
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aftershock.errors import StackError

NAME = "nobody"


@dataclass(frozen=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int


def unprivileged() -> Account | None:
    """Return the account that servers run as: None when we are an ordinary user, and they run as ourselves.

    StackError where that account has no name: initdb doesn't run for such a one.
    """
    if os.geteuid() != 0:
        _refuse_nameless(os.geteuid())
        return None
    try:
        found = pwd.getpwnam(NAME)
    except KeyError:
        raise StackError(
            f"PostgreSQL refuses to run as root, and there is no user {NAME!r} to run it as",
            f"add the user {NAME}, or run as an ordinary user",
        ) from None
    return Account(found.pw_name, found.pw_uid, found.pw_gid)


def _refuse_nameless(user: int) -> None:
    try:
        pwd.getpwuid(user)
    except KeyError:
        raise StackError(
            f"PostgreSQL doesn't run as a user without a name, and user {user} has none on this machine",
            f"give it one (as root: useradd -u {user} NAME), or run as another user",
        ) from None


def give(path: Path, account: Account | None) -> None:
    """Make `path` belong to the account, never what it leads to; nothing to do when servers run as ourselves."""
    if account is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def give_folder(path: Path, account: Account | None) -> None:
    """Make a folder that is the account's alone, or have the one that is there be so. StackError where something else is there:
    the account can write beside it, and what it put there may lead to a folder of somebody else's.
    """
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    try:
        opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise StackError(
            f"{path} is to be a folder, and is none: {error.strerror}", "remove it, and try again"
        ) from None
    try:
        os.fchmod(opened, 0o700)
        if account is not None:
            os.fchown(opened, account.uid, account.gid)
    finally:
        os.close(opened)


def switch(account: Account | None) -> dict[str, object]:
    """Return what subprocess needs to run a program as the account: no group of ours stays with it."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}
