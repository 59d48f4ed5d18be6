"""Logins over TLS. A small server stands for the API server here: which certificate a client showed, only it can say."""

import base64
import json
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.errors import InputError

Tree = dict[str, Any]


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@dataclass
class Gate:
    """An HTTPS server that asks for certificates, and keeps who came: the certificate's name and the header."""

    url: str
    folder: Path
    came: list[tuple[str, str]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)

    def api(self, user: Tree, **cluster: Any) -> k8s.Api:
        given = {"server": self.url, "certificate-authority": "ca.crt", **cluster}
        tree = {
            "clusters": [{"name": "it", "cluster": given}],
            "users": [{"name": "me", "user": user}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me"}}],
            "current-context": "it",
        }
        (self.folder / "config").write_text(json.dumps(tree))
        return k8s.Api.connect(self.folder / "config")

    def data(self, name: str) -> str:
        return base64.b64encode((self.folder / name).read_bytes()).decode()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a server of the name `gate`, and a client of the name `eva`."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with: `make setup` installs it")
    folder = tmp_path_factory.mktemp("certificates")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl("req", "-x509", *key, "-subj", "/CN=authority", "-keyout", folder / "ca.key", "-out", folder / "ca.crt")
    signed = ["-CA", folder / "ca.crt", "-CAkey", folder / "ca.key"]
    for name in ("gate", "eva"):
        names = ["-addext", f"subjectAltName=DNS:{name}"]
        out = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"]
        openssl("req", "-x509", *signed, *key, "-subj", f"/CN={name}", *names, *out)
    return folder


@pytest.fixture
def gate(certificates: Path) -> Iterator[Gate]:
    class Asked(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            shown = self.connection.getpeercert()  # type: ignore[attr-defined]
            name = dict(one[0] for one in shown["subject"])["commonName"] if shown else ""
            header = self.headers.get("Authorization", "")
            made.came.append((name, header))
            body = b'{"items": []}'
            self.send_response(401 if header in made.refused else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates / "ca.crt"))
    context.load_cert_chain(certificates / "gate.crt", certificates / "gate.key")
    context.verify_mode = ssl.CERT_OPTIONAL
    server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    made = Gate(f"https://127.0.0.1:{server.server_port}", certificates)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


NAMED = {"tls-server-name": "gate"}


def test_a_certificate_in_files_or_in_the_kubeconfig(gate: Gate) -> None:
    in_files = {"client-certificate": "eva.crt", "client-key": "eva.key"}
    within = {"client-certificate-data": gate.data("eva.crt"), "client-key-data": gate.data("eva.key")}
    for user in (in_files, within):
        assert gate.api(user, **NAMED).list(k8s.PODS) == []
    assert gate.came == [("eva", ""), ("eva", "")]


def test_the_authority_may_stand_in_the_kubeconfig(gate: Gate) -> None:
    given = {"certificate-authority-data": gate.data("ca.crt"), "certificate-authority": "nowhere"}
    assert gate.api({"token": "t"}, **given, **NAMED).list(k8s.PODS) == []
    assert gate.came == [("", "Bearer t")]


def test_a_server_of_another_name_or_authority_hears_nothing(gate: Gate) -> None:
    for cluster in ({}, {"certificate-authority": "eva.crt", **NAMED}):
        with pytest.raises(k8s.ApiAwayError, match="certificate"):
            gate.api({"token": "t"}, **cluster).list(k8s.PODS)
    assert gate.came == []


def test_who_asks_for_no_verification_gets_none(gate: Gate) -> None:
    unheld = {"insecure-skip-tls-verify": True, "certificate-authority": ""}
    assert gate.api({"token": "t"}, **unheld).list(k8s.PODS) == []


def test_a_certificate_that_is_not_there(gate: Gate) -> None:
    with pytest.raises(InputError, match="can't log in"):
        gate.api({"client-certificate": "none.crt", "client-key": "none.key"}, **NAMED).list(k8s.PODS)


def login(gate: Gate, status: str) -> Tree:
    said = f"import json, sys; from pathlib import Path; here = Path({str(gate.folder)!r})\n"
    said += (
        f"print(json.dumps(dict(kind='ExecCredential', apiVersion='client.authentication.k8s.io/v1', status={status})))"
    )
    line = {"command": sys.executable, "args": ["-c", said]}
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", **line}}


def test_a_login_command_hands_out_a_certificate(gate: Gate) -> None:
    pair = "clientCertificateData=(here / 'eva.crt').read_text(), clientKeyData=(here / 'eva.key').read_text()"
    assert gate.api(login(gate, f"dict({pair})"), **NAMED).list(k8s.PODS) == []
    assert gate.came == [("eva", "")]


def test_what_is_refused_is_asked_for_once_more(gate: Gate, tmp_path: Path) -> None:
    """The first token is good once; the login command has another by then. A third is not asked for."""
    tokens = tmp_path / "tokens"
    tokens.write_text("abc")
    taken = (
        f"[Path({str(tokens)!r}).read_text(), Path({str(tokens)!r}).write_text(Path({str(tokens)!r}).read_text()[1:])]"
    )
    api = gate.api(login(gate, f"dict(token={taken}[0][0])"), **NAMED)
    api.list(k8s.PODS)
    gate.refused.add("Bearer a")
    api.list(k8s.PODS)
    gate.refused.add("Bearer b")
    gate.refused.add("Bearer c")
    with pytest.raises(k8s.ForbiddenError):
        api.list(k8s.PODS)
    assert [header[-1] for _, header in gate.came] == ["a", "a", "b", "b", "c"]


def test_netrc_is_not_for_it(gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    gate.api({"token": "t"}, **NAMED).list(k8s.PODS)
    assert gate.came == [("", "Bearer t")]
