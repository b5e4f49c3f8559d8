"""What a TLS may be made of, and which names it covers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from rapid import TLS, TLSError
from rapid.runtime.tls import covers, load
from tests.runtime.authority import Authority

Broken = Callable[[Authority, dict[str, Any]], object]


def _cut(field: str) -> Broken:
    return lambda _, files: files[field].write_bytes(files[field].read_bytes()[:-40])


@pytest.mark.parametrize(
    ("problem", "breaking"),
    [
        ("ca: .*no-such-file: No such file", lambda _, files: files.update(ca="no-such-file")),
        ("ca: .* part of one", _cut("ca")),
        ("ca: .* is empty", lambda _, files: files["ca"].write_bytes(b"")),
        ("ca: .* holds no certificate", lambda _, files: files.update(ca=files["key"])),
        ("ca: None is no path", lambda _, files: files.update(ca=None)),
        ("certificate: '' is no path", lambda _, files: files.update(certificate="")),
        ("certificate: .*part of one", _cut("certificate")),
        ("certificate: .*expired", lambda a, files: files.update(a.issue("old", lasts=timedelta(days=-1)))),
        (
            "certificate: .*not valid under",
            lambda a, files: files.update(ca=Authority(a.directory / "x", "x").ca),
        ),
        (
            "certificate: .*purpose",
            lambda a, files: files.update(a.issue("s", usages=(ExtendedKeyUsageOID.SERVER_AUTH,))),
        ),
        ("key: .*no private key", _cut("key")),
        ("key: .*does not belong", lambda a, files: files.update(key=a.issue("another")["key"])),
        ("key: .*encrypted", lambda a, files: files.update(a.issue("secret", password=b"x"))),
        ("verify_address: .*mutual", lambda _, files: files.update(verify_address=True, mutual=False)),
        ("server_name: ", lambda _, files: files.update(verify_address=True, server_name="x.example")),
        ("server_name: .*no DNS name", lambda _, files: files.update(server_name="10.0.0.1")),
    ],
)
def test_what_cannot_be_used_is_named(authority: Authority, problem: str, breaking: Broken) -> None:
    arguments: dict[str, Any] = dict(authority.issue())
    TLS(**arguments)
    breaking(authority, arguments)
    with pytest.raises(TLSError, match=f"^{problem}") as caught:
        TLS(**arguments)
    assert caught.value.field == problem.partition(":")[0]


def test_a_certificate_for_servers_alone_will_do_without_mutual(authority: Authority) -> None:
    TLS(**authority.issue(usages=(ExtendedKeyUsageOID.SERVER_AUTH,)), mutual=False)


def test_files_that_change_while_they_are_read(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = authority.tls()
    looked_at = "rapid.runtime.certificates.names_in"
    monkeypatch.setattr(looked_at, lambda *_: ([str(authority.issue())], []))
    with pytest.raises(TLSError, match="changed while"):
        load(tls)


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("10.0.0.7", True),
        ("10.0.0.8", False),
        ("10.0.0.9", False),  # in it as a DNS name only
        ("::1", True),
        ("0:0:0:0:0:0:0:1", True),
        ("node1.example", True),
        ("NODE1.Example", True),
        ("node1.example.org", False),
        ("a.rack.example", True),
        ("a.b.rack.example", False),
        ("rack.example", False),
        ("x.test", False),  # a wildcard of a whole top-level domain
        ("spiffe://node3", False),
    ],
)
def test_the_names_in_a_certificate(authority: Authority, host: str, named: bool) -> None:
    hosts = (
        "10.0.0.7", "::1", "dns=10.0.0.9", "Node1.example", "*.rack.example", "*.test", "uri=spiffe://node3"
    )  # fmt: skip
    assert covers(load(authority.tls(hosts=hosts)).names, host) is named
