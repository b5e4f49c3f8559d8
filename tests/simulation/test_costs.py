"""What is counted of a view change, against the watchers of the same world."""

from __future__ import annotations

from collections import Counter

import pytest

from rapid.overlay.member import Endpoint
from rapid.protocol.messages import Message, Probe, ProbeAck
from rapid.simulation import ScenarioError, scenarios
from rapid.simulation.costs import Cost, CostStudy


def one(_: Message) -> int:
    return 1


def seven_a_probe(message: Message) -> int:
    return 7 if isinstance(message, Probe) else 3


def cost(nodes: int, seed: int = 1) -> Cost:
    return CostStudy(size=one, nodes=(nodes,), seed=seed).measure(nodes)


def test_as_many_messages_as_the_world_sees() -> None:
    world = scenarios.formed(30, 4)
    world.run(scenarios.QUIET - 3.0)
    (crashed,) = scenarios.some(world, 1)
    changes: Counter[Endpoint] = Counter()
    probes: Counter[Endpoint] = Counter()

    def watch(sender: Endpoint, message: Message) -> None:
        (probes if isinstance(message, Probe | ProbeAck) else changes)[sender] += 1

    world.watch(watch)
    world.crash(crashed, silent=True)
    seconds = world.expect_agreement(60.0)
    measured = cost(30, 4)
    assert measured.seconds == seconds
    assert crashed not in changes
    assert measured.change.mean_sent * 29 == pytest.approx(changes.total())
    assert measured.change.most_sent == max(changes.values())
    assert measured.probing.mean_sent * 29 == pytest.approx(probes.total())


def test_no_more_is_received_than_was_sent() -> None:
    measured = cost(20)
    for traffic in (measured.change, measured.probing):
        assert 0 < traffic.mean_received <= traffic.mean_sent
        assert traffic.most_received >= traffic.mean_received
        assert traffic.most_sent >= traffic.mean_sent
        # of one byte each
        assert (traffic.mean_bytes, traffic.most_bytes) == (traffic.mean_sent, traffic.most_sent)


def test_probes_and_acks_are_kept_apart() -> None:
    study = CostStudy(size=seven_a_probe, nodes=(20,))
    measured = study.measure(20)
    assert measured.change.mean_bytes == pytest.approx(3 * measured.change.mean_sent)
    assert 3 * measured.probing.mean_sent < measured.probing.mean_bytes < 7 * measured.probing.mean_sent


def test_section_6_messages_a_member_do_not_grow_with_the_cluster() -> None:
    small, large = cost(40), cost(120)
    assert large.change.most_sent < 1.5 * small.change.most_sent


def test_rows_come_in_the_order_asked_for() -> None:
    study = CostStudy(size=one, nodes=(3, 9, 5))
    assert study.parts() == [9, 5, 3]
    assert [row.nodes for row in study.combined(map(study.measure, study.parts()))] == [3, 9, 5]


@pytest.mark.parametrize("nodes", [(), (2,), (50, 0)])
def test_what_is_out_of_range_is_named(nodes: tuple[int, ...]) -> None:
    with pytest.raises(ScenarioError) as refused:
        CostStudy(size=one, nodes=nodes)
    assert refused.value.field == "nodes"
