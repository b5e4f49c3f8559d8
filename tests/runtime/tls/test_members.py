"""TLS between whole members: who joins, who does not, and what is warned of."""

from __future__ import annotations

import grpc
import pytest
from structlog.testing import capture_logs

import rapid
from rapid import TLS, Cluster, Endpoint, Member, Settings, TLSError, ViewChange
from rapid.detection.alert import Alert, Status
from rapid.errors import BindError
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId
from rapid.protocol.messages import Facts
from rapid.runtime.transport import PLAINTEXT
from tests.runtime.authority import Authority
from tests.runtime.reactor_loop import on_reactor, until
from tests.runtime.test_transport import Peer, peer

from .clients import CLIENTS, call, client, frame

HERE = "127.0.0.1:0"


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
