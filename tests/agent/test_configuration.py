"""What a configuration must not say; the field at fault is named."""

from __future__ import annotations

from typing import Any

import pytest

from rapid import Endpoint, Settings, SettingsError
from rapid.agent.configuration import Configuration


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
        ({"cluster_id": "x"}, "cluster_id: 'x' is no 32 hexadecimal digits"),
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
