"""The observer graph's spectrum against known and brute-force ones, and its drawing."""

from __future__ import annotations

import sys
from itertools import combinations
from xml.etree import ElementTree

import pytest

from rapid.errors import RapidError
from rapid.overlay import expander
from rapid.overlay.configuration import Configuration
from rapid.overlay.expander import drawing, expansion, observer_graph
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId


def cluster(size: int, k: int = 10) -> Configuration:
    members = [Member(Endpoint("127.0.0.1", 10000 + number), NodeId(bytes(16))) for number in range(size)]
    return Configuration.of(ClusterId(bytes(16)), 1, members, k)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 20])
def test_the_graph_has_an_edge_to_the_observer_on_each_ring(size: int) -> None:
    configuration = cluster(size)
    graph = observer_graph(configuration)
    assert tuple(graph) == configuration.endpoints
    for endpoint in configuration.endpoints:
        found = {ring: observer for _, observer, ring in graph.out_edges(endpoint, keys=True)}
        assert found == dict(enumerate(configuration.observers(endpoint)))
        subjects = {ring: subject for subject, _, ring in graph.in_edges(endpoint, keys=True)}
        assert subjects == dict(enumerate(configuration.subjects(endpoint)))


@pytest.mark.parametrize("k", [1, 3, 10])
def test_known_spectra(k: int) -> None:
    """Two members: eigenvalues 2K and -2K. Three: every ring is the triangle, 2K, -K and -K."""
    assert expansion(cluster(2, k), 1).second_eigenvalue == pytest.approx(2 * k)
    assert expansion(cluster(3, k), 1).second_eigenvalue == pytest.approx(k)


def test_one_ring_is_a_cycle() -> None:
    """The spectrum of a cycle of seven: 2 cos(2 pi j / 7); the largest but one by size is at j = 3."""
    assert expansion(cluster(7, k=1), 1).second_eigenvalue == pytest.approx(1.8019377358)


def test_the_sparse_way_agrees_with_the_dense_one(monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = cluster(200)
    dense = expansion(configuration, 3)
    monkeypatch.setattr(expander, "_DENSE", 0)
    sparse = expansion(configuration, 3)
    assert sparse.second_eigenvalue == pytest.approx(dense.second_eigenvalue, rel=1e-5)
    assert sparse == expansion(configuration, 3)


@pytest.mark.parametrize("size", [100, 1000])
def test_the_papers_figures(size: int) -> None:
    """At K = 10 and L = 3: lambda/2K is below 0.45, so a quarter of the members may fail and be seen."""
    found = expansion(cluster(size), 3)
    assert found.lambda_over_2k == found.second_eigenvalue / 20 < 0.45
    assert found.detectable_fraction == pytest.approx(1 - 3 / 10 - found.lambda_over_2k)
    assert found.detectable_fraction > 0.25


def test_no_failed_set_within_the_fraction_goes_unseen() -> None:
    """Every set of up to the promised size, by enumeration: some member has L healthy observers."""
    k, low = 10, 3
    configuration = cluster(14, k)
    most = int(expansion(configuration, low).detectable_fraction * configuration.size)
    assert most >= 2
    for count in range(1, most + 1):
        for failed in combinations(configuration.endpoints, count):
            assert any(
                sum(observer not in failed for observer in configuration.observers(endpoint)) >= low
                for endpoint in failed
            )


def test_the_fraction_is_never_below_nothing() -> None:
    assert expansion(cluster(2), 3).detectable_fraction == 0
    assert expansion(cluster(50), 10).detectable_fraction == 0


@pytest.mark.parametrize("size", [0, 1])
def test_fewer_than_two_cannot_be_analysed(size: int) -> None:
    with pytest.raises(RapidError, match="two members"):
        expansion(cluster(size), 3)


@pytest.mark.parametrize("absent", ["networkx", "scipy.sparse.linalg"])
def test_a_missing_extra_is_named(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(RapidError, match=r"rapid-membership\[analysis\]"):
        expansion(cluster(3), 3)


@pytest.mark.parametrize(("size", "names"), [(0, 0), (1, 1), (2, 2), (60, 60), (61, 0)])
def test_the_drawing_shows_every_member_and_edge(size: int, names: int) -> None:
    picture = ElementTree.fromstring(drawing(cluster(size)))
    space = "{http://www.w3.org/2000/svg}"
    assert len(picture.findall(f".//{space}circle")) == size
    assert len(picture.findall(f".//{space}line")) == (10 * size if size > 1 else 0)
    assert len(picture.findall(f".//{space}text")) == names
