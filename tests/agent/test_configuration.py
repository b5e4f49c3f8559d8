"""What a configuration must not say; the field at fault is named."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from rapid import TLS, Endpoint, Settings, SettingsError
from rapid.agent.configuration import Configuration

NO_FILES: dict[str, Any] = {
    "tls_ca": "/nowhere/ca.pem",
    "tls_certificate": "/nowhere/member.pem",
    "tls_key": "/nowhere/member.key",
}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "listen: is missing"),
        ({"listen": "x"}, "listen: 'x' is no HOST:PORT"),
        ({"seeds": ("a:1", "x")}, "seeds: 'x' is no HOST:PORT"),
        ({"seeds": ("a:1",), "seed_srv": "b"}, "seed_srv: not allowed with seeds: give one of "),
        ({"metadata": {"": "x"}}, "metadata: '=x' has no key"),
        ({"settings": {"base": "moon"}}, "settings.base: 'moon' is none of lan, wan, local"),
        ({"settings": {"speed": 1}}, "speed: no such setting; there are k, h, l"),
        ({"settings": {"failures": 11}}, "failures: 11 is not within 1 to window=10"),
        ({"tls_ca": "x"}, "tls: tls_ca, tls_certificate and tls_key belong together"),
        ({"tls_verify_address": True}, "tls_verify_address: there is no TLS without tls_ca, tls_certificate"),
        ({"tls_mutual": False}, "tls_mutual: there is no TLS without tls_ca, tls_certificate and tls_key"),
        ({"tls_server_name": "a.example"}, "tls_server_name: there is no TLS without tls_ca"),
        ({**NO_FILES, "tls_verify_address": True, "tls_mutual": False}, "tls_verify_address: needs mutual"),
        ({**NO_FILES, "tls_server_name": "10.0.0.1"}, "tls_server_name: '10.0.0.1' is no DNS name"),
        ({**NO_FILES}, "tls_ca: /nowhere/ca.pem: No such file"),
        ({"cluster_id": "x"}, "cluster_id: 'x' is no 32 hexadecimal digits"),
        ({"cluster_name": "a\nb"}, "cluster_name: 'a\\nb' has characters that are not printable"),
        ({"bootstrap_expect": 0}, "bootstrap_expect: 0 processes"),
    ],
)
def test_no_cluster(fields: dict[str, Any], error: str) -> None:
    listen = {} if not fields else {"listen": "127.0.0.1:0"}
    with pytest.raises(SettingsError) as problem:
        Configuration(**{**listen, **fields}).cluster()
    assert str(problem.value).startswith(error)


def test_the_settings() -> None:
    made = Configuration(settings={"base": "local", "window": 20, "join_timeout": 3.5})
    assert made.as_settings() == Settings.local(window=20, join_timeout=3.5)
    assert Configuration().as_settings() == Settings.lan()


def test_the_admin_endpoint_is_off_unless_asked_for() -> None:
    assert Configuration().admin_at() is None
    assert Configuration(admin="7480").admin_at() == Endpoint("127.0.0.1", 7480)
    with pytest.raises(SettingsError, match="admin: 'x' is no HOST:PORT"):
        Configuration(admin="x").admin_at()
    for token in ("", "a\nb", "é"):
        with pytest.raises(SettingsError, match="admin_token: take a secret"):
            Configuration(admin="7480", admin_token=token).admin_at()


def test_all_that_tls_takes_can_be_said(tmp_path: Path) -> None:
    pytest.importorskip(
        "cryptography", reason="the package cryptography, which makes certificates, is missing"
    )
    assert {f"tls_{field.name}" for field in dataclasses.fields(TLS)} == {
        field.name for field in dataclasses.fields(Configuration) if field.name.startswith("tls_")
    }
    from rapid.cli.authority import Authority, alternative_names

    made = Authority.found_in(tmp_path).certify("a", alternative_names(["127.0.0.1", "a.example"]), 1)
    files: dict[str, Any] = {
        "tls_ca": str(made.ca),
        "tls_certificate": str(made.certificate),
        "tls_key": str(made.key),
    }
    paths: dict[str, Any] = {"ca": str(made.ca), "certificate": str(made.certificate), "key": str(made.key)}
    said: list[dict[str, Any]] = [
        {},
        {"mutual": False},
        {"verify_address": True},
        {"server_name": "a.example"},
    ]
    for options in said:
        fields = {f"tls_{name}": value for name, value in options.items()}
        assert Configuration(listen="127.0.0.1:0", **files, **fields)._tls() == TLS(**paths, **options)
