"""Endpoints, members and their metadata."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapid.errors import EndpointError, MetadataError
from rapid.overlay.member import METADATA_LIMIT, ClusterId, Endpoint, Member, NodeId

NODE = NodeId(bytes(range(16)))
HOSTS = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{1,10}){0,3}", fullmatch=True),
)


@given(HOSTS, st.integers(0, 65535))
def test_an_endpoint_is_read_back_from_its_text(host: str, port: int) -> None:
    endpoint = Endpoint.checked(host, port)
    assert Endpoint.parse(str(endpoint)) == endpoint
    assert Endpoint.parse(f"  {endpoint}\n") == endpoint


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.5:7400", "10.0.0.5", 7400),
        ("cache-3.example.com:0", "cache-3.example.com", 0),
        ("[::1]:65535", "::1", 65535),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
        ("host:00080", "host", 80),
    ],
)
def test_endpoints_as_people_write_them(text: str, host: str, port: int) -> None:
    assert Endpoint.parse(text) == Endpoint(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "host",
        "host:",
        ":7400",
        "host:port",
        "host:-1",
        "host:+1",
        "host:7_4",
        "host:7400:",
        "host:٣",
        "host:65536",
        "host:" + "9" * 5000,
        "::1:7400",
        "[::1]",
        "[::1]7400",
        "[]:7400",
        "[host]:7400",
        "[1:2]:7400",
        "[::g]:7400",
        "a b:7400",
        "a\tb:7400",
        "a\0b:7400",
        "a\ud800b:7400",
        "http://host:80",
        "user@host:80",
        "ho[st:80",
        "x" * 256 + ":80",
    ],
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(EndpointError):
        Endpoint.parse(text)


@given(st.text())
def test_any_text_is_an_endpoint_or_an_endpoint_error(text: str) -> None:
    try:
        endpoint = Endpoint.parse(text)
    except EndpointError:
        return
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("", 1),
        ("h", -1),
        ("h", 65536),
        ("x" * 256, 1),
        ("a b", 1),
        ("a:b", 1),
        ("[::1]", 1),
        ("h\n", 1),
    ],
)
def test_parts_out_of_range_are_refused(host: str, port: int) -> None:
    with pytest.raises(EndpointError):
        Endpoint.checked(host, port)


def test_metadata_is_a_read_only_copy_in_the_order_of_its_keys() -> None:
    given_metadata = {"zone": "b", "role": "cache"}
    member = Member(Endpoint("h", 1), NODE, given_metadata)
    given_metadata["role"] = "changed"
    assert list(member.metadata.items()) == [("role", "cache"), ("zone", "b")]
    with pytest.raises(TypeError):
        member.metadata["role"] = "x"  # type: ignore[index]  # that it cannot be written is the point


def test_members_are_equal_by_value_and_differ_by_every_field() -> None:
    member = Member(Endpoint("h", 1), NODE, {"a": "1"})
    assert member == Member(Endpoint("h", 1), NODE, {"a": "1"})
    assert hash(member) == hash(Member(Endpoint("h", 1), NODE, {"a": "1"}))
    assert Member(Endpoint("h", 1), NODE) == Member(Endpoint("h", 1), NODE, {})
    assert member != Member(Endpoint("h", 2), NODE, {"a": "1"})
    assert member != Member(Endpoint("h", 1), NodeId(bytes(16)), {"a": "1"})
    assert member != Member(Endpoint("h", 1), NODE, {"a": "2"})


@pytest.mark.parametrize("character", ["x", "é", "🦀"])
def test_metadata_is_limited_by_its_encoded_bytes(character: str) -> None:
    width = len(character.encode())
    value = character * ((METADATA_LIMIT - len("four")) // width)
    assert Member(Endpoint("h", 1), NODE, {"four": value}).metadata["four"] == value
    with pytest.raises(MetadataError, match="16384"):
        Member(Endpoint("h", 1), NODE, {"four": value + character})


@pytest.mark.parametrize("metadata", [{"a": 1}, {1: "a"}, {"a": None}, {"a": b"x"}, {"a": "\ud800"}])
def test_metadata_that_is_no_text_is_refused(metadata: dict[str, str]) -> None:
    with pytest.raises(MetadataError):
        Member(Endpoint("h", 1), NODE, metadata)


def test_identifiers_show_as_hex() -> None:
    assert str(NODE) == "000102030405060708090a0b0c0d0e0f"
    assert repr(ClusterId(bytes(16))) == "ClusterId(" + "00" * 16 + ")"
