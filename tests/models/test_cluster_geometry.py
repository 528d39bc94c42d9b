"""Silhouettes, distances, the plane and the names, beside scikit-learn and known answers; no Spark."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_samples

from musicrec.models.clusters.geometry import nearest, principal_plane, silhouettes
from musicrec.models.clusters.names import cluster_names

POINTS, LABELS = make_blobs(300, n_features=5, centers=4, cluster_std=3.0, random_state=3)


def test_silhouettes_are_those_of_all_pairs() -> None:
    expected = silhouette_samples(POINTS, LABELS, metric="sqeuclidean")
    np.testing.assert_allclose(silhouettes(POINTS, LABELS, 4), expected, atol=1e-9)


def test_silhouettes_of_one_point_one_cluster_and_an_empty_one() -> None:
    alone = np.where(np.arange(300) == 0, 4, LABELS)
    np.testing.assert_allclose(
        silhouettes(POINTS, alone, 6), silhouette_samples(POINTS, alone, metric="sqeuclidean"), atol=1e-9
    )
    assert not silhouettes(POINTS, np.zeros(300, int), 1).any()
    assert not silhouettes(np.ones((4, 2)), np.array([0, 0, 1, 1]), 2).any()


def test_the_nearest_centre_is_the_lower_number_on_a_tie() -> None:
    labels, distances = nearest(np.array([[0.0, 0.0], [3.0, 1.0]]), np.array([[1.0, 0.0], [-1.0, 0.0], [3.0, 0.0]]))
    assert labels.tolist() == [0, 2]
    assert distances.tolist() == [1.0, 1.0]


def test_the_plane_is_that_of_principal_components() -> None:
    plane, expected = principal_plane(POINTS), PCA(2).fit(POINTS)
    np.testing.assert_allclose(plane.explained, expected.explained_variance_ratio_, atol=1e-9)
    np.testing.assert_allclose(np.abs(plane.project(POINTS)), np.abs(expected.transform(POINTS)), atol=1e-7)
    np.testing.assert_allclose(principal_plane(POINTS[::-1]).axes, plane.axes, atol=1e-9)


def test_one_column_still_has_a_plane() -> None:
    plane = principal_plane(POINTS[:, :1])
    assert plane.explained == (1.0, 0.0)
    assert not plane.project(POINTS[:, :1])[:, 1].any()


def test_names_tell_what_sets_a_centre_apart() -> None:
    features = ["energy", "loudness", "acousticness", "tempo_folded", "key"]
    names = cluster_names(
        np.array(
            [
                [-0.4, -0.9, 1.5, -0.2, 3.0],
                [1.0, 1.0, -1.0, 0.0, 0.0],
                [0.1, 0.05, -0.2, 0.0, 0.0],
                [0.1, 0.05, -0.3, 0.0, 0.0],
            ]
        ),
        features,
    )
    assert names == ["acoustic, quiet, calm", "energetic, loud, electric", "electric", "electric, energetic"]


@pytest.mark.parametrize("features", [["energy", "loudness"], ["key"]])
def test_equal_centres_are_told_apart(features: list[str]) -> None:
    names = cluster_names(np.ones((4, len(features))), features)
    assert len(set(names)) == 4
