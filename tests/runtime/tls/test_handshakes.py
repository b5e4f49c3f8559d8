"""TLS between transports on loopback: who is let in, who is not, and what is told of it."""

from __future__ import annotations

import grpc
import pytest

from rapid import TLS, Endpoint
from rapid.errors import BindError
from rapid.protocol.messages import Restarted
from rapid.runtime.handshake import handshake_trouble
from tests.runtime.authority import Authority
from tests.runtime.reactor_loop import on_reactor, until
from tests.runtime.test_transport import NODE, peer

from .clients import CLIENTS, call, client, frame


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
