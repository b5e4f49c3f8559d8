"""Whether certificates, keys and authorities in files fit together, and whom they name. Needs ``ssl``."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rapid.errors import TLSError

if TYPE_CHECKING:
    from rapid.runtime.tls import TLS

Contents = tuple[bytes, bytes, bytes]
"""Of the authorities' file, the certificate's and the key's."""


def names_in(tls: TLS, contents: Contents) -> tuple[list[str], list[str]]:
    """The DNS names and the addresses in the certificate; :class:`TLSError` when the files are no good.

    ``contents`` is what was read of them; OpenSSL reads the certificate and the key again.
    """
    server, client = (_context(tls, contents, server_side=server_side) for server_side in (True, False))
    return _introduce(server, client, tls)


def _context(tls: TLS, contents: Contents, *, server_side: bool) -> ssl.SSLContext:
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


def _introduce(
    server: ssl.SSLContext, client: ssl.SSLContext, tls: TLS
) -> tuple[list[str], list[str]]:
    """The DNS names and the addresses in the certificate, by a handshake of this member with itself.

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
    return (
        [name for kind, name in names if kind == "DNS"],
        [name for kind, name in names if kind == "IP Address"],
    )
