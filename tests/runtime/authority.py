"""Certificates for tests, good and bad ones."""

from __future__ import annotations

import os
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
        builder = self._builder(key, subject, lasts)
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
        )


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
