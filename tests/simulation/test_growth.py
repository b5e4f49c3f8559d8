"""What is counted of a bootstrap, against what the same world sees; and the fit, against known powers."""

from __future__ import annotations

import pytest

from rapid.overlay.member import Endpoint
from rapid.protocol.messages import Message
from rapid.simulation import World
from rapid.simulation.growth import Bootstrap, GrowthStudy, exponents


def two(_: Message) -> int:
    return 2


def test_as_many_messages_as_the_world_sees() -> None:
    world = World(4)
    world.add_members(30)
    world.start("m0:7400")
    world.expect_agreement(30.0)
    seen: list[Endpoint] = []
    world.watch(lambda sender, message: seen.append(sender))
    world.start()
    seconds = world.expect_agreement(30.0)
    measured = GrowthStudy(size=two, nodes=(30, 40), seed=4).measure(30)
    assert (measured.nodes, measured.seconds) == (30, seconds)
    assert measured.messages * 30 == pytest.approx(len(seen))
    assert measured.bytes == pytest.approx(2 * measured.messages)
    assert measured.sizes == len({one.configuration.size for life in world.live for one in life.views}) >= 2


@pytest.mark.parametrize("power", [0.0, 1.0, 1.5])
def test_the_exponent_of_a_power(power: float) -> None:
    rows = [Bootstrap(n, 3.0 * n**power, 2, 5.0 * n**power, 7.0 * n ** (2 * power)) for n in (10, 50, 400)]
    assert exponents(rows) == pytest.approx(
        {"seconds": power, "messages": 1 + power, "bytes": 1 + 2 * power}, abs=1e-9
    )
