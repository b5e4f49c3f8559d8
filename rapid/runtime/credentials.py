"""What gRPC is given of the certificates, and what it says of a peer's."""

from __future__ import annotations

import os
import threading
from collections import Counter
from typing import Any

from rapid.errors import TLSError
from rapid.log import log
from rapid.runtime.fork_support import grpc
from rapid.runtime.tls import TLS, Material, Name, covers, load, names_of, stamps

RELOADED = "certificates reloaded"
REFUSED = "certificates refused"
"""Also the events in the log: new files are in use, or cannot be and the last good ones stay."""


class Credentials:
    """Follows the files of one :class:`TLS`. Any thread: gRPC asks on threads of its own.

    Raises :class:`TLSError` when the files are no good to begin with.
    """

    def __init__(self, tls: TLS, stats: Counter[str]) -> None:
        self.tls = tls
        # the keys counted here are counted nowhere else, and under the lock
        self._stats = stats
        self._lock = threading.Lock()
        self._host: str | None = None
        self._stamps = stamps(tls)
        self._refused = self._stamps
        self._newest = self._served = self._dialled = load(tls)
        self._channel = self._for_channels()

    def speak_for(self, host: str) -> None:
        """Insist from now on that the certificate names this host, as those who dial it will."""
        with self._lock:
            self._host = host
            self._check(self._newest)

    def server(self) -> grpc.ServerCredentials:
        """For a server: each handshake is made with the newest certificate."""
        return grpc.dynamic_ssl_server_credentials(
            _for_server(self._served), self._fetch, require_client_authentication=self.tls.mutual
        )

    def channel(self) -> grpc.ChannelCredentials:
        """For one more connection."""
        with self._lock:
            self._look()
            if self._dialled is not self._newest:
                self._dialled = self._newest
                self._channel = self._for_channels()
            return self._channel

    @property
    def options(self) -> list[tuple[str, str]]:
        """What a channel needs beside its credentials."""
        name = self.tls.server_name
        return [] if name is None else [("grpc.ssl_target_name_override", name)]

    def _for_channels(self) -> grpc.ChannelCredentials:
        found = self._newest
        own = (found.key, found.certificate) if self.tls.mutual else (None, None)
        return grpc.ssl_channel_credentials(found.ca, *own)

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """gRPC calls this before each handshake; None lets it go on as before."""
        with self._lock:
            self._stats["handshakes"] += 1
            self._look()
            if self._served is self._newest:
                return None
            self._served = self._newest
            return _for_server(self._served)

    def _look(self) -> None:
        """Read the files anew when they have changed, or were no good the last time."""
        seen = stamps(self.tls)
        if seen == self._stamps:
            return
        try:
            found = load(self.tls)
            self._check(found)
        except TLSError as problem:
            if seen != self._refused:
                self._refused = seen
                self._stats[REFUSED] += 1
                log.warning(REFUSED, reason=str(problem), consequence="the last good ones stay in use")
        else:
            self._stamps = self._refused = seen
            self._newest = found
            self._stats[RELOADED] += 1
            log.info(RELOADED, certificate=os.fspath(self.tls.certificate))

    def _check(self, found: Material) -> None:
        host = self.tls.server_name or self._host
        if host is not None and not covers(found.names, host):
            raise TLSError(
                "certificate",
                f"{os.fspath(self.tls.certificate)} names {described(found.names)} and not {host}, "
                "which is what the other members ask for",
            )


def presented(context: grpc.aio.ServicerContext[Any, Any]) -> frozenset[Name]:
    """The names in the certificate of the client, whose authority gRPC has checked."""
    identity = context.auth_context()
    return names_of(_texts(identity.get("peer_dns", ())), _texts(identity.get("peer_ip", ())))


def described(names: frozenset[Name]) -> str:
    """Some of them, for messages to people."""
    shown = sorted(map(str, names))
    more = f" and {len(shown) - 8} more" if len(shown) > 8 else ""
    return ", ".join(shown[:8]) + more or "nobody"


def _for_server(found: Material) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(found.key, found.certificate)], found.ca)


def _texts(values: Any) -> list[str]:
    return [value.decode("ascii", "replace") for value in values]
