"""PageRank and communities beside networkx on graphs whose answer is known."""

from __future__ import annotations

import itertools
import random

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from musicrec.models.artist_graph import graph_figures, weighted_graph

COLUMNS = ["artist_key", "other_key", "weight"]


def frame(rows: list[tuple[str, str, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


def two_cliques() -> pd.DataFrame:
    """Five artists and four, each of whom meets all others of theirs; one weak edge between."""
    groups = ([f"a{n}" for n in range(5)], [f"b{n}" for n in range(4)])
    rows = [(x, y, 2.0) for group in groups for x, y in itertools.combinations(group, 2)]
    return frame([*rows, ("a0", "b0", 0.1)])


def test_a_star_has_the_pagerank_that_algebra_gives() -> None:
    # Hub h and leaf l: h = .15/n + .85 (n-1) l, l = .15/n + .85 h/(n-1).
    n, d = 6, 0.85
    hub = (0.15 / n + d * (n - 1) * 0.15 / n) / (1 - d * d)
    figures = graph_figures(frame([("hub", f"leaf {i}", 3.0) for i in range(n - 1)]), seed=1).set_index("artist_key")
    assert figures.loc["hub", "pagerank"] == pytest.approx(hub, abs=1e-8)
    assert figures["pagerank"].sum() == pytest.approx(1, abs=1e-7)


def test_weights_count_as_in_networkx_and_its_own_linear_system() -> None:
    rng = random.Random(3)
    keys = [f"k{n}" for n in range(30)]
    pairs = frame([(a, b, rng.uniform(0.1, 5)) for a, b in itertools.combinations(keys, 2) if rng.random() < 0.2])
    figures = graph_figures(pairs, seed=1).set_index("artist_key")["pagerank"]
    names = figures.index.tolist()
    weights = np.zeros((len(names), len(names)))
    for a, b, weight in pairs.itertuples(index=False):
        i, j = names.index(a), names.index(b)
        weights[i, j] = weights[j, i] = weight
    moves = weights / weights.sum(axis=1, keepdims=True)
    solved = np.linalg.solve(np.eye(len(names)) - 0.85 * moves.T, np.full(len(names), 0.15 / len(names)))
    np.testing.assert_allclose(figures.to_numpy(), solved, atol=2e-8)
    theirs = nx.pagerank(nx.from_pandas_edgelist(pairs, "artist_key", "other_key", "weight"), tol=1e-10, max_iter=500)
    np.testing.assert_allclose(figures.to_numpy(), [theirs[name] for name in names], atol=2e-8)


def test_communities_are_the_cliques_the_larger_first() -> None:
    communities = graph_figures(two_cliques(), seed=5).set_index("artist_key")["community"].to_dict()
    assert communities == {**{f"a{n}": 0 for n in range(5)}, **{f"b{n}": 1 for n in range(4)}}


def test_the_order_of_the_pairs_does_not_matter() -> None:
    rng = random.Random(8)
    keys = [f"k{n}" for n in range(40)]
    rows = [(a, b, rng.uniform(0.1, 5)) for a, b in itertools.combinations(keys, 2) if rng.random() < 0.15]
    first = graph_figures(frame(rows), seed=2)
    turned = [(b, a, weight) for a, b, weight in rng.sample(rows, len(rows))]
    pd.testing.assert_frame_equal(first, graph_figures(frame(turned), seed=2))
    assert len(weighted_graph(frame(rows))[0].edges) == len(rows)


def test_no_pairs_give_no_figures() -> None:
    assert graph_figures(frame([]), seed=1).empty
