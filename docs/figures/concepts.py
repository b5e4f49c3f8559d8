"""The drawings of the page on concepts, each made from what the library itself does.

python docs/figures/concepts.py          write them beside this file
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from itertools import count
from math import cos, pi, sin
from pathlib import Path
from typing import NamedTuple

from rapid.detection.cut_detector import CutDetector
from rapid.overlay.configuration import Configuration
from rapid.overlay.expander import drawing
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.protocol.messages import Facts, Message
from rapid.simulation import World

HERE = Path(__file__).parent
WIDTH, HEIGHT = 640, 400
DOWN, UP, GREY = "#c40", "#246", "#888"
H, L = 9, 3
WAIT = 0.15
"""Seconds: a wait that can be seen."""


class Moment(NamedTuple):
    """From then on the subject was reported on so many rings."""

    time: float
    subject: Endpoint
    rings: int


def main() -> None:
    """Write all of them."""
    for name, make in FIGURES.items():
        (HERE / name).write_text(make(), encoding="utf-8")


def overlay() -> str:
    """All edges among 24 members, as `rapid overlay --svg` draws them."""
    return drawing(_members(24), WIDTH)


def observers() -> str:
    """One of 24 members on ring 0, with those who watch it and on how many rings."""
    configuration = _members(24)
    chosen = configuration.endpoints[0]
    middle, radius = WIDTH / 2, WIDTH * 0.36
    spots = {
        endpoint: (
            middle + radius * sin(2 * pi * at / configuration.size),
            middle - radius * cos(2 * pi * at / configuration.size),
        )
        for at, endpoint in enumerate(configuration.endpoints)
    }
    parts = [f'<circle cx="{middle:.1f}" cy="{middle:.1f}" r="{radius:.1f}" fill="none" stroke="{GREY}"/>']
    for others, colour in ((configuration.subjects(chosen), UP), (configuration.observers(chosen), DOWN)):
        for other in dict.fromkeys(others):
            width = 1.5 * others.count(other)
            parts.append(_line(spots[chosen], spots[other], colour, width))
    for endpoint, (x, y) in spots.items():
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{9 if endpoint == chosen else 5}" fill="#222"/>')
        out = 1 + 22 / radius
        at = (middle + (x - middle) * out, middle + (y - middle) * out + 4)
        parts.append(_text(at, str(endpoint.port - 7399), anchor="middle"))
    rings = len(configuration.observers(chosen))
    parts.append(_text((10, 20), f"red: the {rings} rings on which it is watched", DOWN))
    parts.append(_text((10, 38), f"blue: the {rings} rings on which it watches", UP))
    return _svg(parts, WIDTH, WIDTH)


def tallies() -> str:
    """What one member of 50 knows and passes on when two others die, until it proposes to remove both."""
    moments, proposed, names = _one_waits()
    begin, end = moments[0].time - 0.1, proposed + 0.3

    def spot(time: float, rings: float) -> tuple[float, float]:
        return 60 + (time - begin) / (end - begin) * (WIDTH - 80), HEIGHT - 50 - rings / 10 * (HEIGHT - 90)

    parts = []
    for rings, name in ((L, f"L = {L}"), (H, f"H = {H}")):
        parts.append(_line(spot(begin, rings), spot(end, rings), GREY, 1, dashed=True))
        parts.append(_text((10, spot(begin, rings)[1] + 4), name))
    parts.append(_line(spot(proposed, 0), spot(proposed, 10), GREY, 1))
    parts.append(_text((spot(proposed, 0)[0] - 5, 30), "both are at H: proposed", anchor="end"))
    for at, (endpoint, colour) in enumerate(zip(names, (DOWN, UP), strict=True)):
        steps = [(begin, 0)]
        for moment in moments:
            if moment.subject == endpoint:
                steps += [(moment.time, steps[-1][1]), (moment.time, moment.rings)]
        steps.append((end, steps[-1][1]))
        points = " ".join("{:.1f},{:.1f}".format(*spot(time, rings)) for time, rings in steps)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        parts.append(_text((70, 30 + 18 * at), f"rings that report {endpoint}", colour))
    parts.append(_text((WIDTH / 2, HEIGHT - 12), f"{end - begin:.1f} seconds", anchor="middle"))
    return _svg(parts, WIDTH, HEIGHT)


FIGURES: dict[str, Callable[[], str]] = {
    "overlay.svg": overlay,
    "observers.svg": observers,
    "tallies.svg": tallies,
}


def _members(count: int) -> Configuration:
    endpoints = [Endpoint("10.0.0.1", 7400 + number) for number in range(count)]
    members = [Member(endpoint, NodeId(bytes(NodeId.SIZE))) for endpoint in endpoints]
    return Configuration.of(ClusterId(bytes(ClusterId.SIZE)), 1, members, 10)


def _one_waits() -> tuple[list[Moment], float, list[Endpoint]]:
    """The first world in which one of the two is at H well before the other, which is unstable then."""
    for seed in count(1):
        moments, proposed, dead = _two_die(seed)
        first = next(moment for moment in moments if moment.rings >= H)
        other = max(m.rings for m in moments if m.subject != first.subject and m.time <= first.time)
        if L <= other < H and proposed - first.time > WAIT:
            return moments, proposed, sorted(dead, key=lambda subject: subject != first.subject)
    raise AssertionError("seeds do not end")


def _two_die(seed: int) -> tuple[list[Moment], float, list[Endpoint]]:
    """When which subject was reported on how many rings, when that gave a proposal, and who died."""
    world = World(seed=seed)
    members = world.add_members(50)
    world.start()
    world.expect_agreement(within=60.0)
    configuration = world.view_of(members[0])
    assert configuration is not None
    detector = CutDetector(configuration, H, L)
    moments: list[Moment] = []
    proposed: list[float] = []

    def heard(endpoint: Endpoint, message: Message) -> None:
        if endpoint != members[0] or not isinstance(message, Facts) or proposed:
            return
        for alert in message.alerts:
            if detector.problem(alert) is None and detector.add(alert) is not None:
                rings = detector.rings_reported((alert.subject.endpoint, alert.subject.node_id))
                moments.append(Moment(world.now, alert.subject.endpoint, rings.bit_count()))
        if detector.propose() is not None:
            proposed.append(world.now)

    world.watch(heard)
    dead = [members[20], members[30]]
    world.crash(dead, silent=True)
    world.expect_agreement(within=60.0)
    return moments, proposed[0], dead


def _line(
    start: tuple[float, float], end: tuple[float, float], colour: str, width: float, *, dashed: bool = False
) -> str:
    dashes = ' stroke-dasharray="4 4"' if dashed else ""
    return (
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
        f' stroke="{colour}" stroke-width="{width:g}"{dashes}/>'
    )


def _text(at: tuple[float, float], text: str, colour: str = "#444", anchor: str = "start") -> str:
    return (
        f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" fill="{colour}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _svg(parts: Iterable[str], width: int, height: int) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="13">'
    )
    ground = f'<rect width="{width}" height="{height}" fill="white"/>'
    return "\n".join((head, ground, *parts, "</svg>", ""))


if __name__ == "__main__":
    main()
