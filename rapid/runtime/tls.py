"""What members prove to each other: certificates in files, and the names that they carry."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from rapid.errors import WITHOUT_SSL, TLSError

Name = str | IPv4Address | IPv6Address
"""A subject alternative name. An address that is written as a DNS name is no address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """Encryption and authentication between members, from PEM files: ``Cluster(..., tls=TLS(...))``.

    ``ca`` holds the certificates that a peer's must descend from, ``certificate`` this member's own
    with any intermediate ones after it, ``key`` its private key, unencrypted. The certificate must
    name the host of the endpoint that the others reach this member by, and be good for a server and,
    with ``mutual``, for a client.

    The files are looked at whenever a connection is made and read anew when one has changed. What
    does not fit together is logged and counted, and the last that did stays in use.

    ``mutual``: a peer that connects needs a certificate too; without it anybody may join and
    alert. ``verify_address``: the certificate must name the host of the endpoint that the peer says
    it is; else one member can speak for another. ``server_name``: the one name that every member's
    certificate has, asked for in place of the host that was dialled.

    Raises :class:`TLSError`, which names the field, when an option makes no sense or the files do not
    fit together now.
    """

    ca: str | os.PathLike[str]
    certificate: str | os.PathLike[str]
    key: str | os.PathLike[str]
    mutual: bool = True
    verify_address: bool = False
    server_name: str | None = None

    def __post_init__(self) -> None:
        for field in ("ca", "certificate", "key"):
            value = getattr(self, field)
            if not isinstance(value, str | os.PathLike) or not os.fspath(value):
                raise TLSError(field, f"{value!r} is no path of a file")
        if self.verify_address and not self.mutual:
            raise TLSError("verify_address", "needs mutual=True: without it peers show no certificate")
        if self.server_name is not None:
            if self.verify_address:
                raise TLSError("server_name", "one name for all proves no address; drop verify_address")
            if not self.server_name or isinstance(name_of(self.server_name), IPv4Address | IPv6Address):
                raise TLSError("server_name", f"{self.server_name!r} is no DNS name")
        load(self)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Material:
    """The contents of the files at one time, found to fit together."""

    ca: bytes
    certificate: bytes
    key: bytes
    names: frozenset[Name]
    """What the certificate names."""


def load(tls: TLS) -> Material:
    """Read the files; raise :class:`TLSError` when they cannot be used, or are just being replaced."""
    try:
        # it needs ssl, and members without TLS do without
        from rapid.runtime.certificates import names_in
    except ModuleNotFoundError as missing:
        if missing.name not in ("ssl", "_ssl"):
            raise
        raise TLSError("tls", f"certificates cannot be looked at: {WITHOUT_SSL}") from missing
    before = _read(tls)
    names = names_of(*names_in(tls, before))
    # OpenSSL takes the chain and the key from their files only, and may have read something else
    if _read(tls) != before:
        raise TLSError("certificate", "the files changed while they were read")
    return Material(*before, names)


def stamps(tls: TLS) -> tuple[tuple[int, ...] | None, ...]:
    """What changes when a file does; None stands for one that is not there."""

    def stamp(path: str | os.PathLike[str]) -> tuple[int, ...] | None:
        try:
            found = os.stat(path)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    return stamp(tls.ca), stamp(tls.certificate), stamp(tls.key)


def name_of(host: str) -> Name:
    """The name that a certificate must carry for this host."""
    try:
        return ip_address(host)
    except ValueError:
        return host.lower()


def names_of(dns: Iterable[str], addresses: Iterable[str]) -> frozenset[Name]:
    """The names in a certificate, from how they are written."""
    return frozenset([*(name.lower() for name in dns), *map(name_of, addresses)])


def covers(names: frozenset[Name], host: str) -> bool:
    """Whether one of the names is the host's. As in gRPC, a ``*`` is the first label of three or more."""
    name = name_of(host)
    if isinstance(name, str) and name not in names:
        parent = name.partition(".")[2]
        return "." in parent and f"*.{parent}" in names
    return name in names


def _read(tls: TLS) -> tuple[bytes, bytes, bytes]:
    return _contents("ca", tls.ca), _contents("certificate", tls.certificate), _contents("key", tls.key)


def _contents(field: str, path: str | os.PathLike[str]) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise TLSError(field, f"{os.fspath(path)}: {error.strerror or error}") from error
