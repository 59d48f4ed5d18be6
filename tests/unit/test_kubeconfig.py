"""Kubeconfigs as kubectl reads them: several files, paths, what is missing; and the commands by which a user logs in."""

import base64
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from aftershock.adapters import kubeconfig
from aftershock.adapters.credentials import VERSIONS, Credentials, LoginError, path
from aftershock.adapters.door import session
from aftershock.adapters.kubeconfig import Access
from aftershock.errors import InputError

Tree = dict[str, Any]


def config(user: Tree | None = None, name: str = "one", **cluster: Any) -> Tree:
    return {
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example:6443/", **cluster}}],
        "users": [{"name": name, "user": user or {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"{name}-space"}}],
        "current-context": name,
    }


def written(file: Path, tree: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(tree if isinstance(tree, str) else json.dumps(tree))
    return file


def test_one_file(tmp_path: Path) -> None:
    found = kubeconfig.access(written(tmp_path / "config", config({"token": "secret"})))
    assert (found.server, found.namespace) == ("https://one.example:6443", "one-space")
    assert "secret" not in repr(found)


def test_of_several_files_the_first_that_names_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = config({"token": "a"})
    del first["current-context"], first["contexts"]
    second = config({"token": "b"}) | {"current-context": "two"}
    second["contexts"].append({"name": "two", "context": {"cluster": "two", "user": "one"}})
    second["clusters"].append({"name": "two", "cluster": {"server": "https://two", "certificate-authority": "ca"}})
    files = [tmp_path / "none", written(tmp_path / "a", first), written(tmp_path / "deep" / "b", second)]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, files)))
    found = kubeconfig.access()
    assert (found.server, found.namespace, found.user) == ("https://two", "default", {"token": "a"})
    assert found.cluster["certificate-authority"] == str(tmp_path / "deep" / "ca")
    assert kubeconfig.access(context="one").server == "https://one.example:6443"


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ("nonsense", "no kubeconfig"),
        ("a: [", "can't be read"),
        ({"clusters": 3, "current-context": "x"}, "`clusters`"),
        (config() | {"current-context": ""}, "no current context"),
        (config() | {"current-context": "else"}, "no context 'else'; there are: one"),
        (config() | {"clusters": []}, "no cluster 'one'; there are: none"),
        (config() | {"users": []}, "no user 'one'"),
        (config(server=""), "no `server`"),
        (config({"auth-provider": {"name": "oidc"}}), "auth-provider"),
        (config({"as": "root"}), "`as`"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_way_to_a_cluster(tmp_path: Path, tree: Any, words: str) -> None:
    file = written(tmp_path / "config", tree)
    with pytest.raises(InputError, match="how to reach a cluster") as raised:
        kubeconfig.access(file)
    assert words in raised.value.problem
    assert str(file) in raised.value.problem


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        kubeconfig.access(tmp_path / "none")


# Who one is


def who(user: Tree, **cluster: Any) -> Credentials:
    return Credentials(Access("https://one", "default", {"server": "https://one", **cluster}, user))


def test_a_token_in_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    file = written(tmp_path / "token", "first\n")
    credentials = who({"tokenFile": str(file), "token": "never"})
    assert credentials.now().header == "Bearer first"
    file.write_text("second")
    assert credentials.now().header == "Bearer second"
    file.unlink()
    with pytest.raises(InputError, match="can't read the token"):
        credentials.now()


def test_a_password() -> None:
    header = who({"username": "eva", "password": "a:b"}).now().header or ""
    assert base64.b64decode(header.removeprefix("Basic ")) == b"eva:a:b"


def test_a_key_in_the_kubeconfig_is_readable_for_its_user_alone() -> None:
    text = base64.b64encode(b"a key").decode()
    file = Path(path({"client-key-data": text, "client-key": "/never"}, "client-key") or "")
    assert file.read_bytes() == b"a key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert path({"client-key-data": text}, "client-key") == str(file), "kept once"
    with pytest.raises(InputError, match="client-key"):
        path({"client-key-data": "§"}, "client-key")


# Login commands


SCRIPT = """\
import json, os, sys
from pathlib import Path
calls = Path(sys.argv[1])
calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
Path(sys.argv[1] + ".info").write_text(json.dumps([info, os.environ.get("TEAM"), sys.stdin.read()]))
print(json.dumps({"kind": "ExecCredential", "apiVersion": info["apiVersion"], "status": eval(sys.argv[2])}))
"""


def command(tmp_path: Path, status: str = "{'token': 't' + calls.read_text()}", **more: Any) -> Tree:
    script = written(tmp_path / "login.py", SCRIPT)
    line = {"command": sys.executable, "args": [str(script), str(tmp_path / "calls"), status]}
    return {"exec": {"apiVersion": VERSIONS[0], "interactiveMode": "IfAvailable", **line, **more}}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_login_command_is_run_once_with_what_it_has_to_know(tmp_path: Path, version: str) -> None:
    user = command(tmp_path, apiVersion=version, env=[{"name": "TEAM", "value": "red"}], provideClusterInfo=True)
    ca = base64.b64encode(b"pem").decode()
    credentials = who(user, **{"certificate-authority-data": ca})
    assert [credentials.now().header, credentials.now().header] == ["Bearer tx"] * 2
    info, team, heard = json.loads((tmp_path / "calls.info").read_text())
    cluster = {"server": "https://one", "certificate-authority-data": ca}
    assert info == {
        "apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False, "cluster": cluster}
    }  # fmt: skip
    assert (team, heard) == ("red", "")


def test_it_is_run_again_once_its_answer_expired_or_was_refused(tmp_path: Path) -> None:
    over = who(command(tmp_path, "{'token': calls.read_text(), 'expirationTimestamp': '2020-01-01T00:00:00Z'}"))
    assert [over.now().header, over.now().header] == ["Bearer x", "Bearer xx"]
    lasting = who(command(tmp_path, "{'token': calls.read_text(), 'expirationTimestamp': '2099-01-01T00:00:00Z'}"))
    shown = lasting.now()
    assert lasting.now() is shown
    assert lasting.refused(shown)
    assert lasting.now().header == "Bearer xxxx"
    lasting.refused(shown)
    assert lasting.now().header == "Bearer xxxx", "another thread's late refusal is of what is gone"


def test_a_command_beside_its_kubeconfig(tmp_path: Path) -> None:
    script = written(tmp_path / "bin" / "login", f"#!{sys.executable}\nimport os\nprint(os.environ['SAY'])\n")
    script.chmod(0o755)
    said = json.dumps({"kind": "ExecCredential", "apiVersion": VERSIONS[0], "status": {"token": "t"}})
    user = {"exec": {"apiVersion": VERSIONS[0], "command": "./bin/login", "env": [{"name": "SAY", "value": said}]}}
    found = kubeconfig.access(written(tmp_path / "config", config(user)))
    assert Credentials(found).now().header == "Bearer t"


@pytest.mark.parametrize(
    ("status", "more", "words"),
    [
        ("{}", {}, "neither a token nor a certificate"),
        ("1", {}, "no ExecCredential"),
        ("sys.exit(3)", {}, "exit code 3"),
        ("{'token': 't', 'expirationTimestamp': 'soon'}", {}, "no time: soon"),
        ("{'token': 't'}", {"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "v1alpha1"),
        ("{'token': 't'}", {"command": "/nonexistent/login", "installHint": "get it there"}, "can't run"),
        ("{'token': 't'}", {"interactiveMode": "Always"}, "no terminal"),
    ],
)
def test_a_login_that_fails_says_why(tmp_path: Path, status: str, more: Tree, words: str) -> None:
    with pytest.raises((LoginError, InputError), match=words) as raised:
        who(command(tmp_path, status, **more)).now()
    assert raised.value.advice == more.get("installHint", raised.value.advice)


def test_a_login_command_that_speaks_another_version(tmp_path: Path) -> None:
    said = json.dumps({"kind": "ExecCredential", "apiVersion": VERSIONS[1], "status": {"token": "t"}})
    user = {"exec": {"apiVersion": VERSIONS[0], "command": "echo", "args": [said]}}
    with pytest.raises(LoginError, match="v1beta1"):
        who(user).now()


CORPORATE = "http://corporate.example:3128"


@pytest.mark.parametrize(
    ("cluster", "environment", "proxy"),
    [
        ({}, {}, None),
        ({}, {"HTTPS_PROXY": CORPORATE}, CORPORATE),
        ({}, {"HTTPS_PROXY": CORPORATE, "NO_PROXY": "other.example,one.example"}, None),
        ({"proxy-url": "http://own.example"}, {"HTTPS_PROXY": CORPORATE}, "http://own.example"),
        ({"proxy-url": "http://own.example"}, {"NO_PROXY": "one.example"}, "http://own.example"),
    ],
    ids=["none", "environment", "excepted", "own", "own, excepted"],
)
def test_the_proxy_of_the_kubeconfig_comes_before_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Tree, environment: dict[str, str], proxy: str | None
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        for spelt in (name, name.lower()):
            monkeypatch.delenv(spelt, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    access = kubeconfig.access(written(tmp_path / "config", config({}, **cluster)))
    made = session(access, Credentials(access))
    settings = made.merge_environment_settings(f"{access.server}/version", {}, None, None, None)
    assert settings["proxies"].get("https") == proxy


def test_the_authorities_of_the_environment_are_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access = kubeconfig.access(written(tmp_path / "config", config({})))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    assert session(access, Credentials(access)).verify is True
    monkeypatch.setenv("CURL_CA_BUNDLE", "/some/authorities")
    assert session(access, Credentials(access)).verify == "/some/authorities"
