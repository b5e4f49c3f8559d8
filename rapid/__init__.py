"""Rapid: stable and consistent cluster membership at scale."""

from typing import TYPE_CHECKING

from rapid.detection.judge import Consecutive, Judge, PhiAccrual, Windowed
from rapid.errors import (
    BindError,
    ConfigurationError,
    EndpointError,
    JoinError,
    LeaveTimeout,
    MetadataError,
    MissingExtraError,
    PlacementError,
    QuorumError,
    RapidError,
    SettingsError,
    StateError,
    TLSError,
    TokenError,
    WaitTimeout,
    WireError,
)
from rapid.overlay.cut import Removal
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.placement import HashRing, moved
from rapid.settings import Settings
from rapid.token import FencingToken
from rapid.view import (
    Change,
    Evicted,
    OtherCluster,
    QuorumLost,
    QuorumRestored,
    RejoinDelayed,
    RejoinFailed,
    View,
    ViewChange,
    ViewsSkipped,
)

__version__ = "0.1.0"
"""The version of the distribution. The build reads it from this line."""

if TYPE_CHECKING:
    from rapid import blocking, discovery
    from rapid.cluster import Cluster
    from rapid.leading import singleton
    from rapid.runtime.feed import Changes
    from rapid.runtime.tls import TLS
else:

    def __getattr__(name: str) -> object:
        # asyncio is loaded by those who use it: the core is imported without
        if name == "discovery":
            import rapid.discovery as found
        elif name == "Cluster":
            from rapid.cluster import Cluster as found
        elif name == "blocking":
            import rapid.blocking as found
        elif name == "singleton":
            from rapid.leading import singleton as found
        elif name == "Changes":
            from rapid.runtime.feed import Changes as found
        elif name == "TLS":
            from rapid.runtime.tls import TLS as found
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found
        return found


__all__ = [
    "TLS",
    "BindError",
    "Change",
    "Changes",
    "Cluster",
    "ClusterId",
    "ConfigurationError",
    "Consecutive",
    "Endpoint",
    "EndpointError",
    "Evicted",
    "FencingToken",
    "HashRing",
    "JoinError",
    "Judge",
    "LeaveTimeout",
    "Member",
    "MetadataError",
    "MissingExtraError",
    "NodeId",
    "OtherCluster",
    "PhiAccrual",
    "PlacementError",
    "QuorumError",
    "QuorumLost",
    "QuorumRestored",
    "RapidError",
    "RejoinDelayed",
    "RejoinFailed",
    "Removal",
    "Settings",
    "SettingsError",
    "StateError",
    "TLSError",
    "TokenError",
    "View",
    "ViewChange",
    "ViewsSkipped",
    "WaitTimeout",
    "Windowed",
    "WireError",
    "blocking",
    "discovery",
    "moved",
    "singleton",
]
