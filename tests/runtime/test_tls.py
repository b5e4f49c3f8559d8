"""TLS between members on loopback: who is let in, who is not, and what happens when files change."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from structlog.testing import capture_logs

import rapid
from rapid import TLS, Cluster, Endpoint, Member, Settings, TLSError, ViewChange
from rapid.detection.alert import Alert, Status
from rapid.errors import BindError
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId
from rapid.proto import rapid_pb2 as pb
from rapid.proto.codec import Encoder
from rapid.protocol.messages import Facts, Message, Restarted
from rapid.runtime import credentials, streams
from rapid.runtime.credentials import REFUSED, RELOADED, handshake_trouble
from rapid.runtime.streams import METHOD, target
from rapid.runtime.tls import covers, load
from rapid.runtime.transport import IMPOSTOR, PLAINTEXT

from .authority import Authority, replace
from .reactor_loop import on_reactor, until
from .test_transport import NODE, Peer, peer

HERE = "127.0.0.1:0"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    """Another authority."""
    return Authority(tmp_path / "theirs", "another ca")


# the description

Broken = Callable[[Authority, dict[str, Any]], object]


def _cut(field: str) -> Broken:
    return lambda _, files: files[field].write_bytes(files[field].read_bytes()[:-40])


@pytest.mark.parametrize(
    ("problem", "breaking"),
    [
        ("ca: .*no-such-file: No such file", lambda _, files: files.update(ca="no-such-file")),
        ("ca: .* part of one", _cut("ca")),
        ("ca: .* is empty", lambda _, files: files["ca"].write_bytes(b"")),
        ("ca: .* holds no certificate", lambda _, files: files.update(ca=files["key"])),
        ("ca: None is no path", lambda _, files: files.update(ca=None)),
        ("certificate: '' is no path", lambda _, files: files.update(certificate="")),
        ("certificate: .*part of one", _cut("certificate")),
        ("certificate: .*expired", lambda a, files: files.update(a.issue("old", lasts=timedelta(days=-1)))),
        (
            "certificate: .*not valid under",
            lambda a, files: files.update(ca=Authority(a.directory / "x", "x").ca),
        ),
        (
            "certificate: .*purpose",
            lambda a, files: files.update(a.issue("s", usages=(ExtendedKeyUsageOID.SERVER_AUTH,))),
        ),
        ("key: .*no private key", _cut("key")),
        ("key: .*does not belong", lambda a, files: files.update(key=a.issue("another")["key"])),
        ("key: .*encrypted", lambda a, files: files.update(a.issue("secret", password=b"x"))),
        ("verify_address: .*mutual", lambda _, files: files.update(verify_address=True, mutual=False)),
        ("server_name: ", lambda _, files: files.update(verify_address=True, server_name="x.example")),
        ("server_name: .*no DNS name", lambda _, files: files.update(server_name="10.0.0.1")),
    ],
)
def test_what_cannot_be_used_is_named(authority: Authority, problem: str, breaking: Broken) -> None:
    arguments: dict[str, Any] = dict(authority.issue())
    TLS(**arguments)
    breaking(authority, arguments)
    with pytest.raises(TLSError, match=f"^{problem}") as caught:
        TLS(**arguments)
    assert caught.value.field == problem.partition(":")[0]


def test_a_certificate_for_servers_alone_will_do_without_mutual(authority: Authority) -> None:
    TLS(**authority.issue(usages=(ExtendedKeyUsageOID.SERVER_AUTH,)), mutual=False)


def test_files_that_change_while_they_are_read(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = authority.tls()
    handshake = "rapid.runtime.tls._introduce"
    monkeypatch.setattr(handshake, lambda *_: frozenset([str(authority.issue())]))
    with pytest.raises(TLSError, match="changed while"):
        load(tls)


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("10.0.0.7", True),
        ("10.0.0.8", False),
        ("10.0.0.9", False),  # in it as a DNS name only
        ("::1", True),
        ("0:0:0:0:0:0:0:1", True),
        ("node1.example", True),
        ("NODE1.Example", True),
        ("node1.example.org", False),
        ("a.rack.example", True),
        ("a.b.rack.example", False),
        ("rack.example", False),
        ("x.test", False),  # a wildcard of a whole top-level domain
        ("spiffe://node3", False),
    ],
)
def test_the_names_in_a_certificate(authority: Authority, host: str, named: bool) -> None:
    hosts = (
        "10.0.0.7", "::1", "dns=10.0.0.9", "Node1.example", "*.rack.example", "*.test", "uri=spiffe://node3"
    )  # fmt: skip
    assert covers(load(authority.tls(hosts=hosts)).names, host) is named


# between transports


@on_reactor
async def test_messages_and_replies(authority: Authority) -> None:
    async with peer(tls=authority.tls("a")) as a, peer(echo=True, tls=authority.tls("b")) as b:
        a.say(b.me, 2)
        await until(lambda: len(a.messages) == 2)
        assert b.messages == [Restarted(a.me, NODE)] * 2
        assert not a.failures
        assert b.stats["handshakes"] == b.stats["streams accepted"] == 1


@on_reactor
async def test_by_name_and_by_ipv6(authority: Authority) -> None:
    tls = authority.tls(hosts=("localhost", "127.0.0.1", "::1"))
    async with peer(tls=tls) as a:
        # the same host, called by its name
        async with peer(Endpoint("127.0.0.1", 0), tls=tls) as b:
            a.say(Endpoint("localhost", b.me.port))
            await until(lambda: b.messages)
        try:
            async with peer(Endpoint("::1", 0), tls=tls) as c:
                a.say(c.me)
                await until(lambda: c.messages)
        except BindError:
            pytest.skip("this machine has no IPv6")


@on_reactor
async def test_one_name_for_all(authority: Authority) -> None:
    tls = authority.tls(hosts=("rapid.example",), server_name="rapid.example")
    async with peer(tls=tls) as a, peer(tls=tls) as b:
        a.say(b.me)
        await until(lambda: b.messages)
    async with peer(tls=authority.tls("other", server_name=None)) as a, peer(tls=tls) as b:
        a.say(b.me)
        await until(lambda: a.failures)
        assert "does not name it" in str(a.transport.trouble(b.me))
        assert not b.messages


async def call(
    to: Endpoint, channel_credentials: grpc.ChannelCredentials | None, *frames: bytes
) -> tuple[grpc.StatusCode, str]:
    """How the stream of a raw client ends."""
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    if channel_credentials is None:
        channel = grpc.aio.insecure_channel(target(to), options=options)
    else:
        channel = grpc.aio.secure_channel(target(to), channel_credentials, options=options)
    async with channel:
        exchange = channel.stream_stream(METHOD)()
        try:
            for frame in frames:
                await exchange.write(frame)
            await exchange.done_writing()
            while await exchange.read() is not grpc.aio.EOF:
                continue
        except (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError):
            pass  # the status says how it has ended
        return await exchange.code(), str(await exchange.details())


def frame(sender: Endpoint, *messages: Message) -> bytes:
    return pb.Frame(
        sender=pb.Endpoint(host=sender.host, port=sender.port), messages=map(Encoder().encode, messages)
    ).SerializeToString()


def client(
    authority: Authority, *, certificate: bytes | None = None, key: bytes | None = None
) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(authority.pem, key, certificate)


CLIENTS: dict[str, Callable[[Authority, Authority], grpc.ChannelCredentials | None]] = {
    "no certificate": lambda ours, theirs: client(ours),
    "another authority's": lambda ours, theirs: client(
        ours, **dict(zip(("certificate", "key"), theirs.pair(), strict=True))
    ),
    "expired": lambda ours, theirs: client(
        ours,
        **dict(zip(("certificate", "key"), ours.pair(lasts=timedelta(days=-1)), strict=True)),
    ),
    "plaintext": lambda ours, theirs: None,
}
"""Clients that trust our authority, and are not to be trusted."""


@pytest.mark.parametrize("who", CLIENTS)
@on_reactor
async def test_who_may_not_speak(authority: Authority, stranger: Authority, who: str) -> None:
    async with peer(tls=authority.tls()) as b:
        sender = Endpoint("127.0.0.1", 1)
        code, _ = await call(b.me, CLIENTS[who](authority, stranger), frame(sender, Restarted(sender, NODE)))
        assert code is grpc.StatusCode.UNAVAILABLE
        assert b.stats["handshakes"] == 1
        # the same from one who may; what was refused can come no more
        certificate, key = authority.pair()
        allowed = client(authority, certificate=certificate, key=key)
        code, _ = await call(b.me, allowed, frame(sender, Restarted(sender, NODE)))
        assert code is grpc.StatusCode.OK
        assert b.stats["handshakes"] == 2
        assert b.stats["streams accepted"] == b.stats["messages received"] == 1


@on_reactor
async def test_without_mutual_anybody_may_speak(authority: Authority, stranger: Authority) -> None:
    async with peer(tls=authority.tls(mutual=False)) as b, peer(tls=authority.tls(mutual=False)) as a:
        sender = Endpoint("127.0.0.1", 1)
        message = frame(sender, Restarted(sender, NODE))
        assert (await call(b.me, client(authority), message))[0] is grpc.StatusCode.OK
        assert (await call(b.me, None, message))[0] is grpc.StatusCode.UNAVAILABLE
        a.say(b.me)
        await until(lambda: len(b.messages) == 2)
    # and nobody else may be spoken to
    async with peer(tls=authority.tls(mutual=False)) as a, peer(tls=stranger.tls(mutual=False)) as b:
        a.say(b.me)
        await until(lambda: a.failures)
        assert a.failures == [(b.me, False)]
        assert not b.messages


@on_reactor
async def test_why_a_handshake_failed_is_told_and_is_no_refusal(
    authority: Authority, stranger: Authority
) -> None:
    async with peer(tls=authority.tls()) as a, peer() as plain, peer(tls=stranger.tls()) as other:
        # whoever dials finds out, in its own words
        for dialler, dialled, why in (
            (a, plain, "TLS handshake failed: it does not speak TLS"),
            (a, other, "TLS handshake failed: its certificate is not valid under this member's ca"),
            (plain, a, "perhaps it speaks only TLS"),
        ):
            dialler.say(dialled.me)
            await until(lambda: dialler.failures)  # noqa: B023 - awaited here
            assert why in str(dialler.transport.trouble(dialled.me))
            assert dialler.stats["streams failed"] == len(dialler.failures)
            if dialler is a:
                assert a.failures.pop() == (dialled.me, False)
                a.stats["streams failed"] = 0
        assert a.stats["handshakes failed"] == 2
        assert not [*a.messages, *plain.messages, *other.messages]


@on_reactor
async def test_a_server_that_does_not_like_our_certificate(authority: Authority, stranger: Authority) -> None:
    files = stranger.issue()
    # trusts both authorities, and is trusted by its own alone
    files["ca"] = stranger.directory / "both.pem"
    files["ca"].write_bytes(stranger.pem + authority.pem)
    async with peer(tls=TLS(**files)) as a, peer(tls=authority.tls()) as b:
        a.say(b.me)
        await until(lambda: a.failures)
        assert a.failures == [(b.me, False)]
        assert "perhaps this member's certificate is not valid under its ca" in str(a.transport.trouble(b.me))


@on_reactor
async def test_a_port_that_nobody_listens_on_is_refused_as_ever(authority: Authority) -> None:
    tls = authority.tls()
    async with peer(tls=tls) as gone:
        nobody = gone.me
    async with peer(tls=tls) as a:
        a.say(nobody)
        await until(lambda: a.failures)
        assert a.failures == [(nobody, True)]
        assert a.transport.trouble(nobody) == "connection refused"
        assert not a.stats["handshakes failed"]


@pytest.mark.parametrize(
    ("details", "trouble"),
    [
        ("Ssl handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: WRONG_VERSION_NUMBER", "not speak TLS"),
        (
            "SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED",
            "under this",
        ),
        ("x: CERTIFICATE_VERIFY_FAILED: certificate has expired: OK", "ca: certificate has expired"),
        ("Peer name 10.0.0.7 is not in peer certificate", "does not name it"),
        ("Ssl handshake failed: something new", "something new"),
    ],
)
def test_what_other_versions_of_grpc_say(details: str, trouble: str) -> None:
    told = str(handshake_trouble(details, secure=True))
    assert told.startswith("TLS handshake failed: ")
    assert trouble in told


# files that change


async def shown(to: Endpoint, authority: Authority) -> bytes:
    """The certificate that a new connection is served with, as DER."""
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.set_alpn_protocols(["h2"])
    files = authority.issue("onlooker")
    context.load_cert_chain(files["certificate"], files["key"])
    _, writer = await asyncio.open_connection(*to, ssl=context)
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    found = tls.getpeercert(binary_form=True)
    assert found is not None
    # the rest of the conversation is HTTP/2
    writer.transport.abort()
    return found


def der(certificate: Path | bytes) -> bytes:
    pem = certificate if isinstance(certificate, bytes) else certificate.read_bytes()
    return ssl.PEM_cert_to_DER_cert(pem.decode())


@on_reactor
async def test_a_new_certificate_serves_new_connections(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[frozenset[Any]] = []

    def watched(context: grpc.aio.ServicerContext[bytes, bytes]) -> frozenset[Any]:
        seen.append(names := credentials.presented(context))
        return names

    monkeypatch.setattr(streams, "presented", watched)
    files = authority.issue("b", ("127.0.0.1", "old.example"))
    async with (
        peer(tls=authority.tls("a", verify_address=True)) as a,
        peer(tls=TLS(**files)) as b,
    ):
        old = der(files["certificate"])
        assert await shown(b.me, authority) == old
        a.say(b.me)
        await until(lambda: b.messages)
        b.say(a.me)
        await until(lambda: a.messages)
        assert "old.example" in seen[-1]
        handshakes = b.stats["handshakes"]

        authority.issue("b", ("127.0.0.1", "new.example"))
        assert await shown(b.me, authority) == der(files["certificate"]) != old
        assert b.stats[RELOADED] == 1
        # a stream that is open goes on as it is
        a.say(b.me)
        await until(lambda: len(b.messages) == 2)
        assert b.stats["handshakes"] == handshakes + 1
        # as a client, too, the member has the new one
        async with peer(tls=authority.tls("c", verify_address=True)) as c:
            b.say(c.me)
            await until(lambda: c.messages)
            assert "new.example" in seen[-1]
        assert not a.failures + b.failures


@on_reactor
async def test_an_authority_is_replaced_in_three_steps(authority: Authority, stranger: Authority) -> None:
    files = authority.issue("b")
    async with peer(tls=TLS(**files)) as b:
        newcomer = stranger.issue("new")
        newcomer["ca"] = stranger.directory / "both.pem"
        newcomer["ca"].write_bytes(stranger.pem + authority.pem)
        async with peer(tls=TLS(**newcomer)) as c:
            c.say(b.me)
            await until(lambda: c.failures)
            # both are trusted; then the certificate is of the new one; then the old one is not trusted
            replace([(authority.ca, authority.pem + stranger.pem)])
            c.say(b.me)
            await until(lambda: b.messages)
            replace(zip((files["certificate"], files["key"]), stranger.pair(), strict=True))
            replace([(authority.ca, stranger.pem)])
            assert await shown(b.me, stranger) == der(files["certificate"])
            certificate, key = authority.pair()
            old = grpc.ssl_channel_credentials(stranger.pem, key, certificate)
            assert (await call(b.me, old))[0] is grpc.StatusCode.UNAVAILABLE
            assert b.stats[REFUSED] == 0


@pytest.mark.parametrize("breaking", ["half", "gone", "key first", "stranger", "nameless"])
@on_reactor
async def test_a_broken_file_changes_nothing(
    authority: Authority, stranger: Authority, breaking: str
) -> None:
    files = authority.issue("b")
    async with peer(tls=TLS(**files)) as b, peer(tls=authority.tls("a")) as a, peer(tls=authority.tls()) as c:
        good = der(files["certificate"])
        certificate, key = authority.pair()
        with capture_logs() as logs:
            match breaking:
                case "half":
                    files["certificate"].write_bytes(certificate[:100])
                case "gone":
                    files["certificate"].unlink()
                case "key first":
                    replace([(files["key"], key)])
                case "stranger":
                    stranger_certificate, stranger_key = stranger.pair()
                    replace([(files["certificate"], stranger_certificate), (files["key"], stranger_key)])
                case "nameless":
                    authority.issue("b", ("10.0.0.1",))
            assert await shown(b.me, authority) == good
            a.say(b.me)
            b.say(c.me)
            await until(lambda: b.messages and c.messages)
            # once for the change, however often it is looked at
            assert b.stats[REFUSED] == 1
            assert [entry["event"] for entry in logs] == [REFUSED]
            assert logs[0]["log_level"] == "warning"
        replace([(files["certificate"], certificate), (files["key"], key)])
        assert await shown(b.me, authority) == der(certificate)
        assert b.stats[RELOADED] == 1
        assert not a.failures + b.failures


# who a stream speaks for


@on_reactor
async def test_a_sender_that_the_certificate_does_not_name(authority: Authority) -> None:
    certificate, key = authority.pair(("127.0.0.1", "10.0.0.7", "node1.example"))
    holder = client(authority, certificate=certificate, key=key)

    def claims(host: str) -> bytes:
        sender = Endpoint(host, 7400)
        return frame(sender, Restarted(sender, NODE))

    async with peer(tls=authority.tls(verify_address=True)) as b:
        for host in ("10.0.0.7", "node1.example"):
            assert (await call(b.me, holder, claims(host)))[0] is grpc.StatusCode.OK
        assert b.stats["messages received"] == 2
        for count, host in enumerate(("10.0.0.8", "node2.example", "::1"), start=1):
            code, details = await call(b.me, holder, claims(host))
            assert code is grpc.StatusCode.PERMISSION_DENIED
            assert details == (
                f"the certificate names 10.0.0.7, 127.0.0.1, node1.example and not the sender, {host}"
            )
            assert b.stats[IMPOSTOR] == count
        # not even later, on a stream that began well
        code, _ = await call(b.me, holder, claims("10.0.0.7"), claims("10.0.0.8"))
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert {message.sender.host for message in b.messages} == {"10.0.0.7", "node1.example"}
        assert b.stats["messages received"] == 3
    async with peer(tls=authority.tls()) as b:
        # who does not ask is told anything
        assert (await call(b.me, holder, claims("10.0.0.8")))[0] is grpc.StatusCode.OK
        assert b.messages


@on_reactor
async def test_an_answer_in_another_name(authority: Authority) -> None:
    tls = authority.tls(hosts=("127.0.0.1", "localhost"), verify_address=True)
    async with peer(tls=tls) as a, peer(echo=True, tls=tls) as b:
        alias = Endpoint("localhost", b.me.port)
        a.say(alias)
        await until(lambda: a.failures)
        assert a.failures == [(alias, False)]
        assert f"it answers as {b.me}" in str(a.transport.trouble(alias))
        assert a.stats[IMPOSTOR] == 1
        assert not a.messages
        a.say(b.me)
        await until(lambda: a.messages)


# whole members


async def three(settings: Settings, *tls: TLS) -> tuple[Cluster, Cluster, Cluster]:
    """A cluster that has formed."""
    a = Cluster(HERE, settings=settings, tls=tls[0])
    await a.start()
    b, c = (Cluster(HERE, seeds=[a.endpoint], settings=settings, tls=each) for each in tls[1:])
    await b.start()
    await c.start()
    await until(lambda: a.view == b.view == c.view and a.view.size == 3)
    return a, b, c


@on_reactor
async def test_a_cluster_forms_and_agrees_on_a_crash(authority: Authority) -> None:
    a, b, c = await three(Settings.local(), *(authority.tls(name, verify_address=True) for name in "abc"))
    changes = a.changes()
    await anext(changes)
    await c.close()
    change = await anext(changes)
    assert isinstance(change, ViewChange)
    assert [removal.endpoint for removal in change.removed] == [c.endpoint]
    await until(lambda: b.view == a.view)
    await b.close()
    await a.close()


def accusation(view: rapid.View, accused: Endpoint, sender: Endpoint) -> bytes:
    """What all the observers of a member would say if it were down."""
    configuration = Configuration.of(
        ClusterId(bytes.fromhex(view.cluster_id)), view.version, view.members, Settings().k
    )
    member = view.member(accused)
    assert member is not None
    observers = configuration.observers(accused)
    alerts = tuple(
        Alert(
            observer,
            Member(accused, member.node_id),
            Status.DOWN,
            sum(1 << ring for ring, other in enumerate(observers) if other == observer),
        )
        for observer in dict.fromkeys(observers)
    )
    return frame(sender, Facts(sender, configuration.cluster_id, view.version, alerts))


@on_reactor
async def test_outsiders_neither_join_nor_alert(authority: Authority, stranger: Authority) -> None:
    settings = Settings.local(join_timeout=0.7)
    members = a, b, c = await three(settings, *[authority.tls()] * 3)
    before = a.view
    try:
        for tls, why in ((None, "perhaps it speaks only TLS"), (stranger.tls(), "TLS handshake failed: ")):
            outsider = Cluster(HERE, seeds=[a.endpoint], settings=settings, tls=tls)
            with pytest.raises(rapid.JoinError, match=f"{a.endpoint}: .*{why}"):
                await outsider.start()
        for make in CLIENTS.values():
            said = accusation(before, c.endpoint, b.endpoint)
            code, _ = await call(a.endpoint, make(authority, stranger), said)
            assert code is grpc.StatusCode.UNAVAILABLE
        assert a.view == b.view == c.view == before
        # it is the certificate that makes the difference
        certificate, key = authority.pair()
        insider = client(authority, certificate=certificate, key=key)
        await call(a.endpoint, insider, accusation(before, c.endpoint, b.endpoint))
        await until(lambda: a.view.version == before.version + 1)
        assert c.endpoint not in a.view
        assert not any(key.startswith("malformed:") for key in a.stats)
    finally:
        for cluster in members:
            await cluster.close()


@on_reactor
async def test_a_member_with_tls_does_not_join_one_without(authority: Authority) -> None:
    settings = Settings.local(join_timeout=0.7)
    async with Cluster(HERE, settings=settings) as a:
        joiner = Cluster(HERE, seeds=[a.endpoint], settings=settings, tls=authority.tls())
        with pytest.raises(rapid.JoinError, match="it does not speak TLS"):
            await joiner.start()
        assert a.view.size == 1
        assert not a.stats["messages received"]


@on_reactor
async def test_a_certificate_that_does_not_name_the_member(authority: Authority) -> None:
    tls = authority.tls(hosts=("10.0.0.7",))
    with pytest.raises(TLSError, match="names 10.0.0.7 and not 127.0.0.1") as caught:
        await Cluster(HERE, tls=tls).start()
    assert caught.value.field == "certificate"
    # it is the name that the others use that counts
    async with Cluster(HERE, advertise="10.0.0.7:0", tls=tls) as cluster:
        assert cluster.endpoint.host == "10.0.0.7"


@on_reactor
async def test_certificates_that_went_bad_before_the_start(authority: Authority) -> None:
    files = authority.issue()
    cluster = Cluster(HERE, tls=TLS(**files))
    files["key"].unlink()
    with pytest.raises(TLSError, match="^key: .*No such file"):
        await cluster.start()


@pytest.mark.parametrize(
    ("listen", "warnings"),
    [("0.0.0.0", 1), ("127.0.0.1", 0), ("127.8.8.8", 0), ("localhost", 0), ("::1", 0)],
)
@on_reactor
async def test_plaintext_beyond_this_machine_warns_once(listen: str, warnings: int) -> None:
    with capture_logs() as logs:
        try:
            async with peer(Endpoint(listen, 0)) as b, peer() as a:
                for _ in range(2):
                    here = Endpoint("127.0.0.1" if listen == "0.0.0.0" else listen, b.me.port)
                    a.say(here)
                await until(lambda: b.messages)
        except BindError:
            pytest.skip("this machine has no IPv6")
    told = [entry for entry in logs if entry["event"] == PLAINTEXT]
    assert len(told) == warnings
    assert all(entry["log_level"] == "warning" and entry["listen"].startswith(listen) for entry in told)


@on_reactor
async def test_tls_does_not_warn(authority: Authority) -> None:
    with capture_logs() as logs:
        member = Peer(tls=authority.tls())
        await member.transport.bind(Endpoint("0.0.0.0", 0))
        await member.transport.close()
    assert logs == []
