"""What an agent runs with, wherever it was written, and the Cluster that comes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rapid.agent.address import admin_endpoint
from rapid.errors import EndpointError, MetadataError, SettingsError, TLSError
from rapid.overlay.member import Endpoint
from rapid.settings import Settings

if TYPE_CHECKING:
    from rapid.cluster import Cluster
    from rapid.discovery import SeedProvider
    from rapid.runtime.tls import TLS

BASES = {"lan": Settings.lan, "wan": Settings.wan, "local": Settings.local}
"""What the network is like: the settings that those given differ from."""
KINDS = {
    field.name: {"int": int, "float": float}[str(field.type)] for field in dataclasses.fields(Settings)
}
"""The settings that can be given, each of one kind of number."""
SEEDS = ("seeds", "seed_dns", "seed_srv", "seed_file")
"""The ways to say where the seeds are: one of them."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """See ``docs/guides/agent.md`` for what each field means.

    Only types are promised: :meth:`cluster` and :meth:`admin_at` find out whether the values make sense.
    """

    listen: str | None = None
    advertise: str | None = None
    seeds: tuple[str, ...] = ()
    seed_dns: str | None = None
    seed_srv: str | None = None
    seed_file: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str | float] = field(default_factory=dict)
    """``base``, one of ``BASES``, and what shall differ from it."""
    bootstrap_expect: int = 1
    cluster_id: str | None = None
    cluster_name: str = ""
    rejoin: bool = True
    merge: bool = False
    tls_ca: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None
    tls_mutual: bool = True
    tls_verify_address: bool = False
    tls_server_name: str | None = None
    admin: str | None = None
    admin_token: str | None = field(default=None, repr=False)

    def cluster(self) -> Cluster:
        """The member, not started yet. Raises :class:`SettingsError` or another, which names the field."""
        from rapid.cluster import Cluster

        if self.listen is None:
            raise SettingsError("listen", "is missing; give the HOST:PORT to serve on, such as 10.0.0.7:7400")
        return Cluster(
            _endpoint("listen", self.listen),
            seeds=self._seeds(),
            metadata=self._metadata(),
            settings=self.as_settings(),
            advertise=None if self.advertise is None else _endpoint("advertise", self.advertise),
            rejoin=self.rejoin,
            merge=self.merge,
            bootstrap_expect=self.bootstrap_expect,
            cluster_id=self.cluster_id,
            cluster_name=self.cluster_name,
            tls=self._tls(),
        )

    def admin_at(self) -> Endpoint | None:
        """Where to serve the admin endpoint; None when nobody asked for it."""
        if self.admin is None:
            return None
        with _named("admin"):
            endpoint = admin_endpoint(self.admin)
        token = self.admin_token
        if token is not None and not (token and token.isascii() and token.isprintable()):
            raise SettingsError("admin_token", "take a secret of printable ASCII characters")
        return endpoint

    def as_settings(self) -> Settings:
        """The settings of the member. Raises :class:`SettingsError`."""
        changes = dict(self.settings)
        base = changes.pop("base", "lan")
        if base not in BASES:
            raise SettingsError("settings.base", f"{base!r} is none of {', '.join(BASES)}")
        for name, value in changes.items():
            if name not in KINDS:
                raise SettingsError(name, f"no such setting; there are {', '.join(KINDS)}")
            try:
                changes[name] = KINDS[name](value)
            except ValueError:
                raise SettingsError(name, f"{value!r} is no {KINDS[name].__name__}") from None
        return BASES[str(base)](**changes)

    def _seeds(self) -> tuple[Endpoint, ...] | SeedProvider:
        from rapid.discovery import dns, file, srv
        from rapid.runtime.discovery import as_seeds

        given = [name for name in SEEDS if getattr(self, name)]
        if len(given) > 1:
            raise SettingsError(given[1], f"not allowed with {given[0]}: give one of {', '.join(SEEDS)}")
        if self.seed_dns:
            with _named("seed_dns"):
                return dns(*Endpoint.parse(self.seed_dns))
        if self.seed_srv:
            return srv(self.seed_srv)
        if self.seed_file:
            return file(self.seed_file)
        with _named("seeds"):
            return as_seeds(map(Endpoint.parse, self.seeds))

    def _metadata(self) -> Mapping[str, str]:
        if "" in self.metadata:
            raise SettingsError("metadata", f"'={self.metadata['']}' has no key")
        return self.metadata

    def _tls(self) -> TLS | None:
        from rapid.runtime.tls import TLS

        ca, certificate, key = self.tls_ca, self.tls_certificate, self.tls_key
        if ca is None and certificate is None and key is None:
            # what was meant to keep others out must not be without any effect
            for name in ("tls_mutual", "tls_verify_address", "tls_server_name"):
                if getattr(self, name) != getattr(Configuration, name):
                    raise SettingsError(name, "there is no TLS without tls_ca, tls_certificate and tls_key")
            return None
        if not (ca and certificate and key):
            raise SettingsError("tls", "tls_ca, tls_certificate and tls_key belong together")
        try:
            return TLS(
                ca=ca,
                certificate=certificate,
                key=key,
                mutual=self.tls_mutual,
                verify_address=self.tls_verify_address,
                server_name=self.tls_server_name,
            )
        except TLSError as problem:
            raise TLSError(f"tls_{problem.field}", problem.problem) from None


def _endpoint(field: str, text: str) -> Endpoint:
    with _named(field):
        return Endpoint.parse(text)


@contextmanager
def _named(field: str) -> Iterator[None]:
    try:
        yield
    except (EndpointError, MetadataError) as problem:
        raise SettingsError(field, str(problem)) from None
