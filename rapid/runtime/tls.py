"""What members prove to each other: certificates in files, and the names that they carry."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from rapid.errors import TLSError
from rapid.records import record

Name = str | IPv4Address | IPv6Address
"""A subject alternative name. An address that is written as a DNS name is no address."""


@record(frozen=True, slots=True, kw_only=True)
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


@record(frozen=True, slots=True, repr=False, eq=False)
class Material:
    """The contents of the files at one time, found to fit together."""

    ca: bytes
    certificate: bytes
    key: bytes
    names: frozenset[Name]
    """What the certificate names."""


def load(tls: TLS) -> Material:
    """Read the files; raise :class:`TLSError` when they cannot be used, or are just being replaced."""
    before = _read(tls)
    names = _introduce(_context(tls, before, server_side=True), _context(tls, before, server_side=False), tls)
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


def _context(tls: TLS, contents: tuple[bytes, bytes, bytes], *, server_side: bool) -> ssl.SSLContext:
    ca, certificate, _ = contents
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # as gRPC does: an intermediate authority may be the one trusted
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _trust(context, "ca", tls.ca, ca)
    # says which file is at fault: load_cert_chain() does not
    _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "certificate", tls.certificate, certificate)
    context.verify_mode = ssl.CERT_REQUIRED if tls.mutual or not server_side else ssl.CERT_NONE

    def no_password() -> str:
        raise TLSError("key", f"{os.fspath(tls.key)} is encrypted; it must be in plain, for its owner's eyes")

    try:
        context.load_cert_chain(tls.certificate, tls.key, no_password)
    except ssl.SSLError as error:
        problem = (
            "does not belong to the certificate"
            if error.reason == "KEY_VALUES_MISMATCH"
            else "holds no private key in PEM"
        )
        raise TLSError("key", f"{os.fspath(tls.key)} {problem}") from error
    except OSError as error:
        raise TLSError("key", f"{os.fspath(tls.key)}: {error.strerror or error}") from error
    return context


def _trust(context: ssl.SSLContext, field: str, path: str | os.PathLike[str], pem: bytes) -> None:
    try:
        # comments between the certificates may be in any encoding
        context.load_verify_locations(cadata=pem.decode("ascii", "ignore"))
    except ValueError as error:
        raise TLSError(field, f"{os.fspath(path)} is empty") from error
    except ssl.SSLError as error:
        raise TLSError(field, f"{os.fspath(path)} holds no certificate in PEM, or part of one") from error


def _introduce(server: ssl.SSLContext, client: ssl.SSLContext, tls: TLS) -> frozenset[Name]:
    """The names in the certificate, found by a handshake of this member with itself, in memory.

    What a peer with the same ``ca`` would refuse is found now.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    dialled = client.wrap_bio(to_client, to_server)
    waiting = [dialled, server.wrap_bio(to_server, to_client, server_side=True)]
    try:
        while waiting:
            for end in tuple(waiting):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                waiting.remove(end)
    except ssl.SSLCertVerificationError as error:
        raise TLSError(
            "certificate",
            f"{os.fspath(tls.certificate)} is not valid under {os.fspath(tls.ca)}: {error.verify_message}",
        ) from error
    except ssl.SSLError as error:
        raise TLSError("certificate", f"{os.fspath(tls.certificate)}: {error.reason}") from error
    found: Mapping[str, Any] = dialled.getpeercert() or {}
    names: list[tuple[str, str]] = list(found.get("subjectAltName", ()))
    return names_of(
        (name for kind, name in names if kind == "DNS"),
        (name for kind, name in names if kind == "IP Address"),
    )
