"""A local stack as objects of the Kubernetes API: nothing secret in the Stack, everything it refers to in the Secret."""

from pathlib import Path
from typing import Any

import pytest

from aftershock.errors import InputError
from aftershock.faults.registry import FAULTS
from aftershock.model.load import from_tree
from aftershock.model.stack import Stack
from aftershock.stacks.exported import objects


def tree(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "aftershock.dev/v1alpha1", "kind": "Stack", "metadata": {"name": "local"}, "spec": spec}


BASE = {"era": "1k", "environment": "test"}


def test_files_and_variables_become_keys_of_one_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secrets").mkdir()
    for name in ("a.dsn", "b.dsn"):
        (tmp_path / "secrets" / name).write_text(f"host={name}\n")
    monkeypatch.setenv("PRIMARY_DSN", "host=env")
    databases = [
        {"name": "primary", "dsn": {"file": "secrets/a.dsn"}, "observer": {"file": "secrets/b.dsn"}},
        {"name": "other", "dsn": {"env": "PRIMARY_DSN"}},
        {"name": "third", "dsn": {"file": "secrets/a.dsn"}},
    ]
    settings = [{"name": "pool", "workload": "app", "env": "POOL_SIZE"}]
    workloads = [{"name": "app", "pidFile": {"path": "app.pid"}}]
    local = tree(**BASE, databases=databases, settings=settings, workloads=workloads)
    stack, secret = objects(local, tmp_path, "meetings", "here")
    assert secret["stringData"] == {"a.dsn": "host=a.dsn", "b.dsn": "host=b.dsn", "PRIMARY_DSN": "host=env"}
    assert secret["metadata"] == stack["metadata"] == {"name": "meetings", "namespace": "here"}
    found = [each["dsn"]["secretRef"]["key"] for each in stack["spec"]["databases"]]
    assert found == ["a.dsn", "PRIMARY_DSN", "a.dsn"]
    assert stack["spec"]["settings"] == settings
    assert stack["spec"]["workloads"][0]["pidFile"]["path"] == str(tmp_path / "app.pid")
    assert "host=" not in str(stack)
    from_tree(stack, Stack, FAULTS, name="stack")


def test_two_secrets_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dsn").write_text(name)
    databases = [{"name": name, "dsn": {"file": f"{name}/dsn"}} for name in ("one", "two")]
    stack, secret = objects(tree(**BASE, databases=databases), tmp_path, "s", "n")
    keys = [each["dsn"]["secretRef"]["key"] for each in stack["spec"]["databases"]]
    assert [secret["stringData"][key] for key in keys] == ["one", "two"]


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.dsn"):
        objects(tree(**BASE, databases=[{"name": "a", "dsn": {"file": "nowhere.dsn"}}]), tmp_path, "s", "n")
