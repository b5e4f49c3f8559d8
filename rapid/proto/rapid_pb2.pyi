from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Frame(_message.Message):
    __slots__ = ("sender", "messages", "chunk")
    SENDER_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    sender: Endpoint
    messages: _containers.RepeatedScalarFieldContainer[bytes]
    chunk: Chunk
    def __init__(self, sender: _Optional[_Union[Endpoint, _Mapping]] = ..., messages: _Optional[_Iterable[bytes]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("header", "part", "last")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    header: Header
    part: bytes
    last: bool
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., part: _Optional[bytes] = ..., last: _Optional[bool] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("kind", "cluster_id", "version", "k", "size")
    KIND_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    kind: int
    cluster_id: bytes
    version: int
    k: int
    size: int
    def __init__(self, kind: _Optional[int] = ..., cluster_id: _Optional[bytes] = ..., version: _Optional[int] = ..., k: _Optional[int] = ..., size: _Optional[int] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("probe", "probe_ack", "join_request", "join_reply", "observe_request", "admitted", "restarted", "leaving", "facts", "decided", "configuration_request", "cuts", "snapshot", "refounded", "unreached")
    PROBE_FIELD_NUMBER: _ClassVar[int]
    PROBE_ACK_FIELD_NUMBER: _ClassVar[int]
    JOIN_REQUEST_FIELD_NUMBER: _ClassVar[int]
    JOIN_REPLY_FIELD_NUMBER: _ClassVar[int]
    OBSERVE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    ADMITTED_FIELD_NUMBER: _ClassVar[int]
    RESTARTED_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    DECIDED_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_REQUEST_FIELD_NUMBER: _ClassVar[int]
    CUTS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    REFOUNDED_FIELD_NUMBER: _ClassVar[int]
    UNREACHED_FIELD_NUMBER: _ClassVar[int]
    probe: Probe
    probe_ack: ProbeAck
    join_request: JoinRequest
    join_reply: JoinReply
    observe_request: ObserveRequest
    admitted: Admitted
    restarted: Restarted
    leaving: Leaving
    facts: Facts
    decided: Decided
    configuration_request: ConfigurationRequest
    cuts: Cuts
    snapshot: Snapshot
    refounded: Refounded
    unreached: Unreached
    def __init__(self, probe: _Optional[_Union[Probe, _Mapping]] = ..., probe_ack: _Optional[_Union[ProbeAck, _Mapping]] = ..., join_request: _Optional[_Union[JoinRequest, _Mapping]] = ..., join_reply: _Optional[_Union[JoinReply, _Mapping]] = ..., observe_request: _Optional[_Union[ObserveRequest, _Mapping]] = ..., admitted: _Optional[_Union[Admitted, _Mapping]] = ..., restarted: _Optional[_Union[Restarted, _Mapping]] = ..., leaving: _Optional[_Union[Leaving, _Mapping]] = ..., facts: _Optional[_Union[Facts, _Mapping]] = ..., decided: _Optional[_Union[Decided, _Mapping]] = ..., configuration_request: _Optional[_Union[ConfigurationRequest, _Mapping]] = ..., cuts: _Optional[_Union[Cuts, _Mapping]] = ..., snapshot: _Optional[_Union[Snapshot, _Mapping]] = ..., refounded: _Optional[_Union[Refounded, _Mapping]] = ..., unreached: _Optional[_Union[Unreached, _Mapping]] = ...) -> None: ...

class Endpoint(_message.Message):
    __slots__ = ("host", "port")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    host: str
    port: int
    def __init__(self, host: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("endpoint", "node_id", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    endpoint: Endpoint
    node_id: bytes
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, endpoint: _Optional[_Union[Endpoint, _Mapping]] = ..., node_id: _Optional[bytes] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Removal(_message.Message):
    __slots__ = ("endpoint", "node_id", "left")
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    endpoint: Endpoint
    node_id: bytes
    left: bool
    def __init__(self, endpoint: _Optional[_Union[Endpoint, _Mapping]] = ..., node_id: _Optional[bytes] = ..., left: _Optional[bool] = ...) -> None: ...

class Cut(_message.Message):
    __slots__ = ("removed", "joined", "more")
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    JOINED_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    removed: _containers.RepeatedCompositeFieldContainer[Removal]
    joined: _containers.RepeatedCompositeFieldContainer[Member]
    more: bool
    def __init__(self, removed: _Optional[_Iterable[_Union[Removal, _Mapping]]] = ..., joined: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class Rank(_message.Message):
    __slots__ = ("round", "coordinator")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_FIELD_NUMBER: _ClassVar[int]
    round: int
    coordinator: int
    def __init__(self, round: _Optional[int] = ..., coordinator: _Optional[int] = ...) -> None: ...

class Alert(_message.Message):
    __slots__ = ("observer", "subject", "status", "rings", "ground", "revision")
    OBSERVER_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RINGS_FIELD_NUMBER: _ClassVar[int]
    GROUND_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    observer: Endpoint
    subject: Member
    status: int
    rings: int
    ground: int
    revision: int
    def __init__(self, observer: _Optional[_Union[Endpoint, _Mapping]] = ..., subject: _Optional[_Union[Member, _Mapping]] = ..., status: _Optional[int] = ..., rings: _Optional[int] = ..., ground: _Optional[int] = ..., revision: _Optional[int] = ...) -> None: ...

class Prepare(_message.Message):
    __slots__ = ("rank",)
    RANK_FIELD_NUMBER: _ClassVar[int]
    rank: Rank
    def __init__(self, rank: _Optional[_Union[Rank, _Mapping]] = ...) -> None: ...

class Promise(_message.Message):
    __slots__ = ("rank", "vrank", "digest", "voters")
    RANK_FIELD_NUMBER: _ClassVar[int]
    VRANK_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    VOTERS_FIELD_NUMBER: _ClassVar[int]
    rank: Rank
    vrank: Rank
    digest: bytes
    voters: bytes
    def __init__(self, rank: _Optional[_Union[Rank, _Mapping]] = ..., vrank: _Optional[_Union[Rank, _Mapping]] = ..., digest: _Optional[bytes] = ..., voters: _Optional[bytes] = ...) -> None: ...

class Accept(_message.Message):
    __slots__ = ("rank", "digest")
    RANK_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    rank: Rank
    digest: bytes
    def __init__(self, rank: _Optional[_Union[Rank, _Mapping]] = ..., digest: _Optional[bytes] = ...) -> None: ...

class Vote(_message.Message):
    __slots__ = ("rank", "digest", "voters")
    RANK_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    VOTERS_FIELD_NUMBER: _ClassVar[int]
    rank: Rank
    digest: bytes
    voters: bytes
    def __init__(self, rank: _Optional[_Union[Rank, _Mapping]] = ..., digest: _Optional[bytes] = ..., voters: _Optional[bytes] = ...) -> None: ...

class Probe(_message.Message):
    __slots__ = ("target", "sequence", "cluster_id", "version", "facts", "size", "failing", "quorum_lost", "cluster_name")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    FAILING_FIELD_NUMBER: _ClassVar[int]
    QUORUM_LOST_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_NAME_FIELD_NUMBER: _ClassVar[int]
    target: bytes
    sequence: int
    cluster_id: bytes
    version: int
    facts: int
    size: int
    failing: int
    quorum_lost: bool
    cluster_name: str
    def __init__(self, target: _Optional[bytes] = ..., sequence: _Optional[int] = ..., cluster_id: _Optional[bytes] = ..., version: _Optional[int] = ..., facts: _Optional[int] = ..., size: _Optional[int] = ..., failing: _Optional[int] = ..., quorum_lost: _Optional[bool] = ..., cluster_name: _Optional[str] = ...) -> None: ...

class ProbeAck(_message.Message):
    __slots__ = ("node_id", "sequence", "cluster_id", "version", "facts", "size", "failing", "quorum_lost", "cluster_name")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    FAILING_FIELD_NUMBER: _ClassVar[int]
    QUORUM_LOST_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_NAME_FIELD_NUMBER: _ClassVar[int]
    node_id: bytes
    sequence: int
    cluster_id: bytes
    version: int
    facts: int
    size: int
    failing: int
    quorum_lost: bool
    cluster_name: str
    def __init__(self, node_id: _Optional[bytes] = ..., sequence: _Optional[int] = ..., cluster_id: _Optional[bytes] = ..., version: _Optional[int] = ..., facts: _Optional[int] = ..., size: _Optional[int] = ..., failing: _Optional[int] = ..., quorum_lost: _Optional[bool] = ..., cluster_name: _Optional[str] = ...) -> None: ...

class JoinRequest(_message.Message):
    __slots__ = ("node_id", "protocol", "k", "h", "l", "expect", "attempt", "founding", "cluster_name")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    H_FIELD_NUMBER: _ClassVar[int]
    L_FIELD_NUMBER: _ClassVar[int]
    EXPECT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    FOUNDING_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_NAME_FIELD_NUMBER: _ClassVar[int]
    node_id: bytes
    protocol: int
    k: int
    h: int
    l: int
    expect: bytes
    attempt: int
    founding: bool
    cluster_name: str
    def __init__(self, node_id: _Optional[bytes] = ..., protocol: _Optional[int] = ..., k: _Optional[int] = ..., h: _Optional[int] = ..., l: _Optional[int] = ..., expect: _Optional[bytes] = ..., attempt: _Optional[int] = ..., founding: _Optional[bool] = ..., cluster_name: _Optional[str] = ...) -> None: ...

class JoinReply(_message.Message):
    __slots__ = ("standing", "cluster_id", "version", "observers", "detail", "node_id", "attempt", "holders", "cluster_name")
    STANDING_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OBSERVERS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_NAME_FIELD_NUMBER: _ClassVar[int]
    standing: int
    cluster_id: bytes
    version: int
    observers: _containers.RepeatedCompositeFieldContainer[Endpoint]
    detail: str
    node_id: bytes
    attempt: int
    holders: _containers.RepeatedCompositeFieldContainer[Endpoint]
    cluster_name: str
    def __init__(self, standing: _Optional[int] = ..., cluster_id: _Optional[bytes] = ..., version: _Optional[int] = ..., observers: _Optional[_Iterable[_Union[Endpoint, _Mapping]]] = ..., detail: _Optional[str] = ..., node_id: _Optional[bytes] = ..., attempt: _Optional[int] = ..., holders: _Optional[_Iterable[_Union[Endpoint, _Mapping]]] = ..., cluster_name: _Optional[str] = ...) -> None: ...

class ObserveRequest(_message.Message):
    __slots__ = ("member", "cluster_id", "version", "relay", "cluster_name")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RELAY_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_NAME_FIELD_NUMBER: _ClassVar[int]
    member: Member
    cluster_id: bytes
    version: int
    relay: bool
    cluster_name: str
    def __init__(self, member: _Optional[_Union[Member, _Mapping]] = ..., cluster_id: _Optional[bytes] = ..., version: _Optional[int] = ..., relay: _Optional[bool] = ..., cluster_name: _Optional[str] = ...) -> None: ...

class Admitted(_message.Message):
    __slots__ = ("cluster_id", "version")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    cluster_id: bytes
    version: int
    def __init__(self, cluster_id: _Optional[bytes] = ..., version: _Optional[int] = ...) -> None: ...

class Unreached(_message.Message):
    __slots__ = ("joiner", "node_id", "ground")
    JOINER_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    GROUND_FIELD_NUMBER: _ClassVar[int]
    joiner: Endpoint
    node_id: bytes
    ground: int
    def __init__(self, joiner: _Optional[_Union[Endpoint, _Mapping]] = ..., node_id: _Optional[bytes] = ..., ground: _Optional[int] = ...) -> None: ...

class Restarted(_message.Message):
    __slots__ = ("node_id",)
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    node_id: bytes
    def __init__(self, node_id: _Optional[bytes] = ...) -> None: ...

class Leaving(_message.Message):
    __slots__ = ("node_id", "cluster_id", "version")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    node_id: bytes
    cluster_id: bytes
    version: int
    def __init__(self, node_id: _Optional[bytes] = ..., cluster_id: _Optional[bytes] = ..., version: _Optional[int] = ...) -> None: ...

class Facts(_message.Message):
    __slots__ = ("cluster_id", "version", "alerts", "proposals", "prepares", "promises", "accepts", "votes", "complete")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    PROPOSALS_FIELD_NUMBER: _ClassVar[int]
    PREPARES_FIELD_NUMBER: _ClassVar[int]
    PROMISES_FIELD_NUMBER: _ClassVar[int]
    ACCEPTS_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    cluster_id: bytes
    version: int
    alerts: _containers.RepeatedCompositeFieldContainer[Alert]
    proposals: _containers.RepeatedCompositeFieldContainer[Cut]
    prepares: _containers.RepeatedCompositeFieldContainer[Prepare]
    promises: _containers.RepeatedCompositeFieldContainer[Promise]
    accepts: _containers.RepeatedCompositeFieldContainer[Accept]
    votes: _containers.RepeatedCompositeFieldContainer[Vote]
    complete: bool
    def __init__(self, cluster_id: _Optional[bytes] = ..., version: _Optional[int] = ..., alerts: _Optional[_Iterable[_Union[Alert, _Mapping]]] = ..., proposals: _Optional[_Iterable[_Union[Cut, _Mapping]]] = ..., prepares: _Optional[_Iterable[_Union[Prepare, _Mapping]]] = ..., promises: _Optional[_Iterable[_Union[Promise, _Mapping]]] = ..., accepts: _Optional[_Iterable[_Union[Accept, _Mapping]]] = ..., votes: _Optional[_Iterable[_Union[Vote, _Mapping]]] = ..., complete: _Optional[bool] = ...) -> None: ...

class Decided(_message.Message):
    __slots__ = ("cluster_id", "version", "digest", "cut")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    cluster_id: bytes
    version: int
    digest: bytes
    cut: Cut
    def __init__(self, cluster_id: _Optional[bytes] = ..., version: _Optional[int] = ..., digest: _Optional[bytes] = ..., cut: _Optional[_Union[Cut, _Mapping]] = ...) -> None: ...

class ConfigurationRequest(_message.Message):
    __slots__ = ("cluster_id", "have", "node_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    HAVE_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: bytes
    have: int
    node_id: bytes
    def __init__(self, cluster_id: _Optional[bytes] = ..., have: _Optional[int] = ..., node_id: _Optional[bytes] = ...) -> None: ...

class Cuts(_message.Message):
    __slots__ = ("cluster_id", "version", "cuts")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CUTS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: bytes
    version: int
    cuts: _containers.RepeatedCompositeFieldContainer[Cut]
    def __init__(self, cluster_id: _Optional[bytes] = ..., version: _Optional[int] = ..., cuts: _Optional[_Iterable[_Union[Cut, _Mapping]]] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("cluster_id", "version", "k", "digest", "members", "formerly")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    FORMERLY_FIELD_NUMBER: _ClassVar[int]
    cluster_id: bytes
    version: int
    k: int
    digest: bytes
    members: _containers.RepeatedCompositeFieldContainer[Member]
    formerly: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, cluster_id: _Optional[bytes] = ..., version: _Optional[int] = ..., k: _Optional[int] = ..., digest: _Optional[bytes] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., formerly: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Refounded(_message.Message):
    __slots__ = ("cluster_id", "version", "configuration")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    cluster_id: bytes
    version: int
    configuration: Snapshot
    def __init__(self, cluster_id: _Optional[bytes] = ..., version: _Optional[int] = ..., configuration: _Optional[_Union[Snapshot, _Mapping]] = ...) -> None: ...
