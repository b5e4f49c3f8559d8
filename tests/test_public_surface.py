"""What `import rapid` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import rapid

SURFACE = {
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
    "PhiAccrual",
    "PlacementError",
    "OtherCluster",
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
    "TLS",
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
}


def test_the_surface_is_this() -> None:
    # their order is the linter's
    assert sorted(rapid.__all__) == sorted(SURFACE)


def test_everything_in_it_exists_and_is_documented() -> None:
    for name in rapid.__all__:
        assert getattr(rapid, name).__doc__, name


def test_every_error_has_the_one_root() -> None:
    for name in rapid.__all__:
        found = getattr(rapid, name)
        if isinstance(found, type) and issubclass(found, Exception):
            assert issubclass(found, rapid.RapidError), name


def test_importing_it_loads_no_grpc_and_no_protobuf() -> None:
    code = "import rapid, sys; print([m for m in sys.modules if m.split('.')[0] in ('grpc', 'google')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
