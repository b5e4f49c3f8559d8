"""How good an expander the observer graph is (paper sections 4.1 and 8), and a drawing of it.

The graph joins every member to its observer on each ring: undirected, with parallel edges, every
member has K observers and K subjects, hence 2K edges. Its adjacency matrix has the largest
eigenvalue 2K; ``lambda`` is the second largest in absolute value.

Let a set F, a share f of all members, fail. Nothing of it is seen only if each of F has fewer than L
healthy observers, so more than K - L observers in F: over (K - L)|F| edges within F. By the expander
mixing lemma there are at most K(f + lambda/2K)|F| of them. Up to the share

    f = 1 - L/K - lambda/2K

failures are therefore detected. The paper writes lambda/K, which holds for half the eigenvalue (that
of a K-regular graph): with K = 10, L = 3 and lambda/2K < 0.45, as it measures, only this reading gives
its 25 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from rapid.errors import RapidError
from rapid.overlay.configuration import Configuration

if TYPE_CHECKING:
    import networkx

_DENSE = 500


@dataclass(frozen=True, slots=True)
class Expansion:
    """What the spectrum of an observer graph says. ``detectable_fraction`` is within 0 to 1."""

    second_eigenvalue: float
    lambda_over_2k: float
    detectable_fraction: float


def observer_graph(configuration: Configuration) -> networkx.MultiDiGraph:
    """An edge from every member to its observer on each ring; the ring's number is the edge's key.

    Nodes are endpoints in ring-0 order. Raises :class:`RapidError` when networkx is not installed.
    """
    try:
        import networkx
    except ImportError as absent:
        raise _not_installed() from absent
    graph = networkx.MultiDiGraph()
    graph.add_nodes_from(configuration.endpoints)
    if configuration.size > 1:
        for number, ring in enumerate(configuration.rings):
            following = [*ring.endpoints[1:], ring.endpoints[0]]
            graph.add_edges_from(
                (subject, observer, number)
                for subject, observer in zip(ring.endpoints, following, strict=True)
            )
    return graph


def expansion(configuration: Configuration, low: int) -> Expansion:
    """Analyse the observer graph of at least two members for the low watermark ``low`` (L).

    Raises :class:`RapidError` for fewer members, and when networkx or scipy is not installed.
    """
    if configuration.size < 2:
        raise RapidError("an observer graph takes at least two members")
    second = _second_eigenvalue(observer_graph(configuration))
    ratio = second / (2 * configuration.k)
    return Expansion(second, ratio, min(1.0, max(0.0, 1 - low / configuration.k - ratio)))


def _second_eigenvalue(graph: networkx.MultiDiGraph) -> float:
    """Of the undirected graph's adjacency matrix, by absolute value."""
    try:
        import networkx
        import numpy
        from scipy.sparse.linalg import eigsh
    except ImportError as absent:
        raise _not_installed() from absent
    one_way = networkx.to_scipy_sparse_array(graph, dtype=float)
    adjacency = one_way + one_way.T
    if len(graph) <= _DENSE:
        values = numpy.linalg.eigvalsh(adjacency.toarray())
    else:
        start = numpy.sin(numpy.arange(1, len(graph) + 1))  # fixed: the same members, the same digits
        values = eigsh(adjacency, k=2, which="LM", v0=start, tol=1e-6, return_eigenvectors=False)
    return float(numpy.sort(numpy.abs(values))[-2])


def _not_installed() -> RapidError:
    return RapidError("the analysis needs networkx and scipy: pip install 'rapid-membership[analysis]'")


def drawing(configuration: Configuration, size: int = 800) -> str:
    """An SVG of ``size`` pixels: members round ring 0, a line from each to each of its observers.

    The more rings two members share, the darker the line. Names are shown for up to 60 members.
    """
    middle, radius = size / 2, size * 0.36
    count = configuration.size
    spots = {
        endpoint: (at, middle + radius * sin(2 * pi * at / count), middle - radius * cos(2 * pi * at / count))
        for at, endpoint in enumerate(configuration.endpoints)
    }
    lines, dots, names = [], [], []
    for endpoint, (at, x, y) in spots.items():
        for observer in configuration.observers(endpoint):
            _, to_x, to_y = spots[observer]
            lines.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"/>')
        dots.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
        if count <= 60:
            degrees = 360 * at / count - 90
            side = "end" if degrees >= 90 else "start"
            turn = degrees + 180 if degrees >= 90 else degrees
            outward = -8 if side == "end" else 8
            names.append(
                f'<text transform="translate({x:.1f} {y:.1f}) rotate({turn:.1f})" x="{outward}" y="3"'
                f' text-anchor="{side}">{escape(str(endpoint))}</text>'
            )
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" font-family="sans-serif">',
            f'<g stroke="#246" stroke-opacity="{0.25 if count <= 60 else 0.08}">',
            *lines,
            "</g>",
            '<g fill="#c40">',
            *dots,
            "</g>",
            '<g font-size="9">',
            *names,
            "</g>",
            "</svg>",
            "",
        )
    )
