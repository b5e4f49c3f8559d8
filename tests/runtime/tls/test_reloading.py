"""What happens when the files change."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from rapid import TLS, Endpoint
from rapid.runtime import credentials
from rapid.runtime.credentials import REFUSED, RELOADED
from tests.runtime.authority import Authority, replace
from tests.runtime.reactor_loop import on_reactor, until
from tests.runtime.test_transport import peer

from .clients import call


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
    presented = credentials.presented

    def watched(context: grpc.aio.ServicerContext[bytes, bytes]) -> frozenset[Any]:
        seen.append(names := presented(context))
        return names

    monkeypatch.setattr(credentials, "presented", watched)
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
