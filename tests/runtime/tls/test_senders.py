"""Who a stream speaks for."""

from __future__ import annotations

import grpc

from rapid import Endpoint
from rapid.protocol.messages import Restarted
from rapid.runtime.transport import IMPOSTOR
from tests.runtime.authority import Authority
from tests.runtime.reactor_loop import on_reactor, until
from tests.runtime.test_transport import NODE, peer

from .clients import call, client, frame


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
