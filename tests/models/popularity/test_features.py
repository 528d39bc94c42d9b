from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from musicrec.errors import InputError
from musicrec.models.popularity.features import FeatureSpace, check_same_features, fit_features
from musicrec.models.popularity.params import FeatureParams
from tests.popularity_tracks import FEATURES, planted


def test_scales_are_those_of_the_training_side() -> None:
    tracks = planted(50, "text")
    space = fit_features(tracks[:40], FEATURES)
    made = space.inputs(tracks).numbers
    values = tracks[["energy", "valence", "tempo"]].to_numpy()
    wanted = (values - values[:40].mean(0)) / values[:40].std(0)
    np.testing.assert_allclose(made, wanted, atol=1e-5)


def test_words_and_genres_are_numbered_by_how_many_tracks_have_them() -> None:
    tracks = planted(60, "text")
    tracks["tags"] = [["live"] if row % 10 == 0 else None for row in range(60)]
    space = fit_features(tracks, FEATURES)
    assert space.genres == ("rock", "dance pop", "pop", "live")
    inputs = space.inputs(tracks)
    said = [space.words[number - 1] for number in inputs.title[0] if number]
    assert said == [word for word in tracks["name"][0].split() if word in space.words]
    assert [space.genres[number - 1] for number in inputs.genres[0] if number] == ["dance pop", "live", "pop"]
    design = space.design(inputs).toarray()
    assert design[0, 3:7].tolist() == [0, 1, 1, 1]
    assert design[:, 7:].sum(1).tolist() == [len(set(row) - {0}) for row in inputs.title.tolist()]


def test_what_says_nothing_is_left_out_and_what_is_missing_is_the_median() -> None:
    tracks = planted(40, "text")
    tracks["valence"] = 0.5
    tracks["tempo"] = np.nan
    tracks.loc[3, "energy"] = np.nan
    space = fit_features(tracks, FEATURES)
    assert (space.names, space.dropped) == (("energy",), ("valence", "tempo"))
    median = (tracks["energy"].median() - space.means[0]) / space.scales[0]
    assert space.inputs(tracks).numbers[3, 0] == pytest.approx(median, abs=1e-5)
    with pytest.raises(InputError, match="not constant"):
        fit_features(tracks, FeatureParams(numbers=("valence", "tempo")))


def test_bad_columns_are_named() -> None:
    tracks = planted(40, "text")
    with pytest.raises(InputError, match="a column brightness, found none"):
        fit_features(tracks, FeatureParams(numbers=("brightness",)))
    with pytest.raises(InputError, match="tracks: energy: expected finite numbers, found 1 infinite"):
        fit_features(tracks.assign(energy=[np.inf, *[0.5] * 39]), FEATURES)
    with pytest.raises(InputError, match="one or more"):
        fit_features(pd.DataFrame(tracks[:0]), FEATURES)


def test_a_saved_space_is_the_same_and_refuses_other_features() -> None:
    space = fit_features(planted(40, "text"), FEATURES)
    again = FeatureSpace.of_facts(space.facts())
    assert again == space
    check_same_features(again, FEATURES, "model")
    with pytest.raises(InputError, match=r"model: expected a model of the features numbers = \('energy',\)"):
        check_same_features(again, FEATURES.model_copy(update={"numbers": ("energy",)}), "model")
