"""Where an admin endpoint is."""

from __future__ import annotations

import pytest

from rapid import Endpoint, EndpointError
from rapid.agent.address import admin_endpoint, is_loopback


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("7480", Endpoint("127.0.0.1", 7480)),
        (":7480", Endpoint("127.0.0.1", 7480)),
        (" 0 ", Endpoint("127.0.0.1", 0)),
        ("0.0.0.0:7480", Endpoint("0.0.0.0", 7480)),
        ("[::1]:7480", Endpoint("::1", 7480)),
        ("node-1:7480", Endpoint("node-1", 7480)),
    ],
)
def test_a_port_alone_is_on_this_machine(text: str, endpoint: Endpoint) -> None:
    assert admin_endpoint(text) == endpoint


@pytest.mark.parametrize("text", ["", "here", "70000", "127.0.0.1", "::1:7480", "-1"])
def test_no_address(text: str) -> None:
    with pytest.raises(EndpointError):
        admin_endpoint(text)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
    ],
)
def test_what_only_this_machine_reaches(host: str, here: bool) -> None:
    assert is_loopback(host) is here
