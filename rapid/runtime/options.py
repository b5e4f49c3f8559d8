"""Everything that a member can be told at its start, validated by who builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rapid.detection.alert import Alert
from rapid.detection.judge import MakeJudge
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId
from rapid.runtime.discovery import SeedProvider
from rapid.settings import Settings

if TYPE_CHECKING:
    from rapid.runtime.prober import Prober
    from rapid.runtime.tls import TLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """See :class:`rapid.Cluster` for what each means."""

    settings: Settings = field(default_factory=Settings.lan)
    metadata: Mapping[str, str] = field(default_factory=dict)
    seeds: SeedProvider | None = None
    """None: this process founds the cluster."""
    judge: MakeJudge | None = None
    prober: Prober | None = None
    tls: TLS | None = None
    rejoin: bool = True
    merge: bool = False
    bootstrap_expect: int = 1
    cluster_id: ClusterId | None = None
    cluster_name: str = ""
    alerted: Callable[[Configuration, Alert], None] | None = None
    """Called on the driver's thread; must neither block nor raise."""
