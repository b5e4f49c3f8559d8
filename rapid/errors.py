"""The error tree. Every error that this library raises on purpose is a ``RapidError``."""

from __future__ import annotations

WITHOUT_SSL = (
    "this Python was built without the module ssl: build it again with the development files of OpenSSL"
    " (libssl-dev, openssl-devel), or take another one"
)


class RapidError(Exception):
    """The root. The message says what was wrong, where, and what to do."""


class MissingExtraError(RapidError, ModuleNotFoundError):
    """A module needs a package that is not installed; ``extra`` names what brings it. Nothing was loaded."""

    def __init__(self, what: str, extra: str, name: str | None) -> None:
        remedy = (
            WITHOUT_SSL
            if name in ("ssl", "_ssl")
            else f"it is not installed: pip install 'rapid-membership[{extra}]'"
        )
        super().__init__(f"{what} needs {name!r}: {remedy}", name=name)
        self.what = what
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str | None], dict[str, object]]:
        # an error crosses from process to process whole
        return type(self), (self.what, self.extra, self.name), vars(self)


class SettingsError(RapidError, ValueError):
    """A setting is out of range; ``field`` names it. Nothing was created."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem

    def __reduce__(self) -> tuple[type[SettingsError], tuple[str, str], dict[str, object]]:
        # an error crosses from process to process whole
        return type(self), (self.field, self.problem), vars(self)


class TLSError(SettingsError):
    """Certificates that cannot be used, or options that make no sense. The member has not started."""


class EndpointError(RapidError, ValueError):
    """A text is no ``host:port``. Nothing was created."""


class MetadataError(RapidError, ValueError):
    """Metadata is not ``str -> str`` or exceeds 16 KiB encoded. Nothing was created."""


class ConfigurationError(RapidError, ValueError):
    """A cut does not fit the configuration it was applied to. The configuration is unchanged."""


class BindError(RapidError, OSError):
    """The listen address cannot be bound. The member has not started."""


class JoinError(RapidError):
    """No cluster let this member in before the deadline. The member is closed."""


class LeaveTimeout(RapidError):
    """The cluster did not agree on the departure in time. The member is closed all the same."""


class WaitTimeout(RapidError, TimeoutError):
    """No view of the kind that was waited for came in time. Nothing has changed."""


class PlacementError(RapidError, LookupError):
    """There is no member to own a key."""


class TokenError(RapidError, ValueError):
    """This is no fencing token, or it is compared with one of another cluster."""


class QuorumError(RapidError):
    """A quorum of the view answers, or an evicted process has a cluster to join: none may be forced.

    Nothing has changed.
    """


class StateError(RapidError, RuntimeError):
    """A call that this state of the member does not allow. The state is unchanged."""


class IdentityError(RapidError):
    """A peer's certificate does not bear out who it says it is. The runtime rejects and counts it."""


class WireError(RapidError, ValueError):
    """Bytes from a peer are no valid message. The runtime rejects and counts them."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
