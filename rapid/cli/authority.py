"""A certificate authority in a directory. Needs the package cryptography."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rapid.errors import RapidError

CA_DAYS = 3650
CA = "ca"
_SKEW = timedelta(hours=1)
"""How much earlier than now a certificate begins, for machines whose clocks are behind."""
_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_DNS_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.IGNORECASE | re.ASCII)


class CertificateError(RapidError):
    """A host that no certificate can name, or an authority that cannot sign. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Made:
    """Where a new certificate is."""

    ca: Path
    certificate: Path
    key: Path
    until: datetime


def alternative_names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    """The hosts as a certificate names them; raise :class:`CertificateError` for one that is none."""
    return [_alternative_name(host) for host in dict.fromkeys(hosts)]


class Authority:
    """Signs certificates of members. Its own certificate and key are files of the directory."""

    def __init__(
        self, directory: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        self._directory = directory
        self._certificate = certificate
        self._key = key

    @classmethod
    def found_in(cls, directory: Path) -> Self:
        """The one that is there, else a new one; raise :class:`CertificateError` when it is of no use."""
        directory.mkdir(parents=True, exist_ok=True)
        certificate, key = directory / f"{CA}.pem", directory / f"{CA}.key"
        if not certificate.exists() and not key.exists():
            return cls._new(directory)
        try:
            found = x509.load_pem_x509_certificate(certificate.read_bytes())
            signer = load_pem_private_key(key.read_bytes(), password=None)
        except (ValueError, TypeError, OSError) as error:
            raise CertificateError(
                f"{certificate} and {key} are no authority that can be used; take another directory: {error}"
            ) from error
        if not isinstance(signer, ec.EllipticCurvePrivateKey) or signer.public_key() != found.public_key():
            raise CertificateError(f"{key} is not the key of {certificate}; take another directory")
        return cls(directory, found, signer)

    @classmethod
    def _new(cls, directory: Path) -> Self:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        name = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, f"rapid development {secrets.token_hex(4)}")]
        )
        certificate = (
            _builder(name, name, key, key, now, CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        _write_pair(directory, CA, [certificate], key)
        return cls(directory, certificate, key)

    def certify(self, label: str, names: Iterable[x509.GeneralName], days: int) -> Made:
        """Write a certificate with these names, and a new key, to files called after the label."""
        now = datetime.now(UTC)
        until = now + timedelta(days=days)
        if until > self._certificate.not_valid_after_utc:
            raise CertificateError(
                f"the authority in {self._directory} itself ends on "
                f"{self._certificate.not_valid_after_utc:%Y-%m-%d}; take fewer days or another directory"
            )
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label[:64])])
        certificate = (
            _builder(name, self._certificate.subject, key, self._key, now, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        # no host is called so: the authority's own files stay what they are
        stem = f"member-{label.replace(':', '_')}"
        paths = _write_pair(self._directory, stem, [certificate], key)
        return Made(self._directory / f"{CA}.pem", *paths, until)


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        if len(host) > 253 or not _DNS_NAME.fullmatch(host):
            raise CertificateError(
                f"--host {host!r} is no address and no DNS name; give neither port nor brackets, and other"
                " letters than a to z in their xn-- form"
            ) from None
        return x509.DNSName(host)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    """Both key identifiers are in every certificate: strict verifiers ask for them."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
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


def _write_pair(
    directory: Path, stem: str, chain: Iterable[x509.Certificate], key: ec.EllipticCurvePrivateKey
) -> tuple[Path, Path]:
    certificate_path, key_path = directory / f"{stem}.pem", directory / f"{stem}.key"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(key_path, secret, mode=0o600)
    _write(certificate_path, b"".join(item.public_bytes(Encoding.PEM) for item in chain), mode=0o644)
    return certificate_path, key_path


def _write(path: Path, data: bytes, *, mode: int) -> None:
    """All of it or nothing: a member may be about to read the file."""
    # made with mode 0600
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
