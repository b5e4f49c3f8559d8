"""Who can be in a cluster: endpoints, process identities, members."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import NamedTuple, NoReturn, Self

from rapid.errors import EndpointError, MetadataError, SettingsError

METADATA_LIMIT = 16 * 1024
HOST_LIMIT = 255
CLUSTER_NAME_LIMIT = 255
"""Bytes of UTF-8."""
_HOST = re.compile(rf"[^\s\[\]/#@]{{1,{HOST_LIMIT}}}")


class Endpoint(NamedTuple):
    """Where a member is reached: a host (name, IPv4 or IPv6 literal without brackets) and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read ``host:port`` or ``[v6]:port``; raise :class:`EndpointError` on anything else."""
        host, colon, port = text.strip().rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if bracketed:
            host = host[1:-1]
        if bracketed is not (":" in host):
            raise EndpointError(f"{text!r}: write an IPv6 address, and only that, in brackets, as [::1]:7400")
        if not colon or not host or not (port.isascii() and port.isdigit() and len(port) <= 5):
            raise EndpointError(f"{text!r} is no HOST:PORT, such as 10.0.0.5:7400")
        return cls.checked(host, int(port))

    @classmethod
    def checked(cls, host: str, port: int) -> Endpoint:
        """Build an endpoint of parts; raise :class:`EndpointError` when one is out of range."""
        if not _HOST.fullmatch(host) or not host.isprintable():
            raise EndpointError(f"{host!r} is no host name or address of 1 to {HOST_LIMIT} characters")
        if ":" in host and not _is_ipv6(host):
            raise EndpointError(f"{host!r} is no IPv6 address")
        if not 0 <= port <= 65535:
            raise EndpointError(f"port {port} of {host!r} is not within 0 to 65535")
        return cls(host, port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


class Identifier(bytes):
    """128 random bits, shown as hex."""

    __slots__ = ()
    SIZE = 16

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read hexadecimal digits; raise :class:`ValueError` on anything else."""
        try:
            raw = bytes.fromhex(text)
        except ValueError:
            raw = b""
        if len(raw) != cls.SIZE:
            raise ValueError(f"{text!r} is no {2 * cls.SIZE} hexadecimal digits")
        return cls(raw)

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hex()})"


class NodeId(Identifier):
    """One process life: a restart has a new one."""

    __slots__ = ()


class ClusterId(Identifier):
    """One cluster, minted by its founder."""

    __slots__ = ()


class Metadata(dict[str, str]):
    """A dictionary that does not change; it may be pickled and copied, and given to ``json``."""

    __slots__ = ()

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError("metadata is fixed for the life of a member; make a dict of it to change that")

    # assigned, which is what costs nothing when it is read
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[Metadata], tuple[dict[str, str]]]:
        return type(self), (dict(self),)

    def __copy__(self) -> Metadata:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Metadata:
        return self


_NO_METADATA: Mapping[str, str] = Metadata()


@dataclass(frozen=True, slots=True)
class Member:
    """One process in a cluster. ``metadata`` is fixed for its life, ordered by key."""

    endpoint: Endpoint
    node_id: NodeId
    metadata: Mapping[str, str] = field(default_factory=lambda: _NO_METADATA, hash=False)

    def __post_init__(self) -> None:
        if self.metadata is not _NO_METADATA:
            object.__setattr__(self, "metadata", checked_metadata(self.metadata))


def checked_cluster_name(name: str) -> str:
    """The name of a cluster, if it is one, or empty; raise :class:`SettingsError` when it is not."""
    if not isinstance(name, str):
        raise SettingsError("cluster_name", f"{name!r} is not a str")
    if not name.isprintable():
        raise SettingsError("cluster_name", f"{name!r} has characters that are not printable; take others")
    if (size := len(name.encode())) > CLUSTER_NAME_LIMIT:
        raise SettingsError("cluster_name", f"it takes {size} bytes; take at most {CLUSTER_NAME_LIMIT}")
    return name


def checked_metadata(metadata: Mapping[str, str]) -> Mapping[str, str]:
    """A read-only copy ordered by key; raise :class:`MetadataError` when it is not allowed."""
    size = 0
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise MetadataError(f"metadata {key!r}: {value!r} is not str -> str")
        try:
            size += len(key.encode()) + len(value.encode())
        except UnicodeEncodeError:
            raise MetadataError(f"metadata {key!r}: {value!r} cannot be encoded as UTF-8") from None
    if size > METADATA_LIMIT:
        raise MetadataError(f"metadata takes {size} bytes, more than {METADATA_LIMIT}: keep it elsewhere")
    return Metadata(sorted(metadata.items())) if metadata else _NO_METADATA
