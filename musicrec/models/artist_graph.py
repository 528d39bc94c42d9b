"""PageRank and communities of the artists' network, by networkx on the driver."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd

from musicrec.errors import NonFiniteError

_PAGERANK_DAMPING = 0.85
_PAGERANK_TOLERANCE = 1e-10


def graph_figures(pairs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """PageRank (Page et al. 1999) and community (Louvain, Blondel et al. 2008) of each artist.

    Parameters
    ----------
    pairs : (artist_key, other_key, weight), each unordered pair once, weight above 0.
    seed : of the order in which Louvain visits the artists.

    Returns
    -------
    (artist_key, pagerank, community), by artist_key. PageRanks sum to 1; communities count from 0, the one with the
    largest sum of PageRanks first. The same pairs in any order give the same figures.

    Raises
    ------
    NonFiniteError : a PageRank is not a number.
    """
    if pairs.empty:
        return pd.DataFrame({"artist_key": [], "pagerank": [], "community": []})
    graph, keys = weighted_graph(pairs)
    ranks = nx.pagerank(graph, _PAGERANK_DAMPING, tol=_PAGERANK_TOLERANCE, max_iter=1000)
    pageranks = np.array([ranks[node] for node in range(len(keys))])
    if not np.isfinite(pageranks).all():
        raise NonFiniteError("the PageRank of the artists' network holds values that are not finite")
    found = nx.community.louvain_communities(graph, seed=seed)
    # Their own order would depend on that of the visits.
    largest_first = sorted(found, key=lambda nodes: (-round(sum(pageranks[sorted(nodes)]), 9), min(nodes)))
    communities = {node: number for number, nodes in enumerate(largest_first) for node in nodes}
    return pd.DataFrame(
        {
            "artist_key": keys,
            "pagerank": np.round(pageranks, 9),
            "community": [communities[node] for node in range(len(keys))],
        }
    )


def weighted_graph(pairs: pd.DataFrame) -> tuple[nx.Graph, list[str]]:
    """The graph of weighted pairs on nodes 0 .. n - 1, and the key of each.

    Numbers, because a set of texts has another order in each process, and Louvain goes by it.
    """
    keys = sorted({*pairs["artist_key"], *pairs["other_key"]})
    number = {key: node for node, key in enumerate(keys)}
    graph = nx.Graph()
    graph.add_nodes_from(range(len(keys)))
    rows = zip(pairs["artist_key"].map(number), pairs["other_key"].map(number), pairs["weight"], strict=True)
    graph.add_weighted_edges_from(sorted((int(a), int(b), float(weight)) for a, b, weight in rows))
    return graph, keys
