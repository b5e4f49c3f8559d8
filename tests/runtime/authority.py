"""Certificates for tests, good and bad ones.

The good ones have what a strict verifier asks for, as ``ssl.create_default_context()`` does from 3.13 on.
"""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import rapid

BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
LOOPBACK = ("127.0.0.1",)


class Authority:
    """Signs, and writes what it signs into a directory of its own."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            self._builder(self._key, self._name, timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(Encoding.PEM)
        self.ca = directory / "ca.pem"
        self.ca.write_bytes(self.pem)

    def pair(
        self,
        hosts: tuple[str, ...] = LOOPBACK,
        *,
        lasts: timedelta = timedelta(days=1),
        usages: tuple[x509.ObjectIdentifier, ...] = BOTH,
        password: bytes | None = None,
    ) -> tuple[bytes, bytes]:
        """A certificate and its key in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0] if hosts else "nobody")])
        builder = (
            self._builder(key, subject, lasts)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
        )
        if hosts:
            names = [_alternative_name(host) for host in hosts]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False).sign(
            self._key, hashes.SHA256()
        )
        encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
        return (
            certificate.public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption),
        )

    def issue(self, name: str = "member", hosts: tuple[str, ...] = LOOPBACK, **how: Any) -> dict[str, Any]:
        """The arguments of a TLS with a new certificate in files called after ``name``."""
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        replace(zip((certificate, key), self.pair(hosts, **how), strict=True))
        return {"ca": self.ca, "certificate": certificate, "key": key}

    def tls(self, name: str = "member", hosts: tuple[str, ...] = LOOPBACK, **options: Any) -> rapid.TLS:
        return rapid.TLS(**self.issue(name, hosts), **options)

    def _builder(
        self, key: ec.EllipticCurvePrivateKey, subject: x509.Name, lasts: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + lasts)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def verify_strictly(tls: rapid.TLS, host: str) -> None:
    """Handshake in memory between two ends that both ask for all that RFC 5280 wants of a certificate.

    Raises ``ssl.SSLError``.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    contexts = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for context in contexts:
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(tls.ca)
        context.load_cert_chain(tls.certificate, tls.key)
    client, server = contexts
    waiting = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while waiting:
        for end in tuple(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(end)


def replace(contents: Any) -> None:
    """Put each file in its place at once, as tools that renew certificates do."""
    for path, data in contents:
        new = path.with_suffix(".new")
        new.write_bytes(data)
        os.replace(new, path)


def _alternative_name(host: str) -> x509.GeneralName:
    kind, _, value = host.rpartition("=")
    if kind == "dns":
        # an address that is written as a name
        return x509.DNSName(value)
    if kind == "uri":
        return x509.UniformResourceIdentifier(value)
    try:
        return x509.IPAddress(ip_address(value))
    except ValueError:
        return x509.DNSName(value)
