"""The ranker's features beside brute force, and what its trees learn from planted data."""

from __future__ import annotations

import json

import lightgbm
import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from musicrec.errors import InputError, NonFiniteError
from musicrec.models.blocks import Ragged
from musicrec.models.ranker.features import (
    NO_DAYS,
    NO_RANK,
    NO_SCORE,
    Listeners,
    candidate_features,
)
from musicrec.models.ranker.fit import Examples, RankerModel, fit_ranker, gains
from musicrec.models.ranker.names import feature_directions, feature_names
from musicrec.models.ranker.params import RankerParams
from musicrec.models.ranker.score import predicted

LISTENERS, ITEMS, ARTISTS, CANDIDATES = 9, 30, 6, 4
RETRIEVERS = ("als", "knn")


def ragged(lists: list[np.ndarray]) -> Ragged:
    values = np.concatenate([np.zeros(0, lists[0].dtype), *lists])
    return Ragged(values, np.cumsum([0] + [len(one) for one in lists]).astype(np.int64))


def some_listeners(seed: int) -> Listeners:
    rng = np.random.default_rng(seed)
    sizes = [0, *rng.integers(1, 8, LISTENERS - 1)]
    heard = [np.sort(rng.choice(ITEMS, size, replace=False)).astype(np.int32) for size in sizes]
    lists = {}
    for place, name in enumerate(RETRIEVERS):
        found = [
            rng.choice(ITEMS, (user * 3 + place) % 12, replace=False).astype(np.int32) for user in range(LISTENERS)
        ]
        scores = [np.sort(rng.normal(size=len(one)).round(6))[::-1] for one in found]
        lists[name] = (ragged(found), ragged(scores))
    ages = [rng.uniform(0, 9, size) for size in sizes]
    return Listeners(
        lists=lists,
        heard=ragged(heard),
        plays=ragged([rng.integers(1, 5, size).astype(np.int64) for size in sizes]),
        ages=ragged(ages),
        oldest=np.array([max(one, default=0.0) for one in ages]),
        hours=rng.integers(0, 3, (LISTENERS, 24)).astype(float),
        weekdays=rng.integers(0, 3, (LISTENERS, 7)).astype(float),
    )


def some_tracks(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 4, ITEMS)
    unit = rng.normal(size=(ITEMS, 3))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return {
        **{name: rng.integers(1, 20, ITEMS).astype(float) for name in ("listeners", "plays", "last_day")},
        **{name: rng.uniform(0.1, 9, ITEMS) for name in ("recent", "first_days", "last_days")},
        "artist": rng.integers(-1, ARTISTS, ITEMS).astype(np.int32),
        "artist_listeners": rng.integers(1, 9, ITEMS).astype(float),
        "artist_plays": rng.integers(1, 90, ITEMS).astype(float),
        "hours": rng.random((ITEMS, 24)).astype(np.float32),
        "weekdays": rng.random((ITEMS, 7)).astype(np.float32),
        "near_starts": np.concatenate([[0], np.cumsum(lengths)]),
        "near": np.concatenate([rng.choice(ITEMS, n, replace=False) for n in lengths]).astype(np.int32),
        "near_scores": rng.random(int(lengths.sum())).astype(np.float32),
        "content": unit.astype(np.float32),
        "has_content": rng.random(ITEMS) < 0.8,
    }


def brute_force(one: Listeners, tracks: dict[str, np.ndarray], user: int, item: int) -> dict[str, float]:
    """Some features of each group, one candidate at a time."""
    found: dict[str, float] = {}
    fused = 0.0
    for name, (items, scores) in one.lists.items():
        own = items[user].tolist()
        is_there = item in own
        rank = own.index(item) + 1 if is_there else NO_RANK
        score = float(scores[user][rank - 1]) if is_there else NO_SCORE
        found[f"{name}_rank"], found[f"{name}_score"] = rank, score
        found[f"{name}_share"] = score / abs(float(scores[user][0])) if is_there else NO_SCORE
        fused += 1 / (60 + rank) if is_there else 0
    found["fused"] = fused
    heard, plays, ages = one.heard[user], one.plays[user], one.ages[user]
    artist = tracks["artist"][item]
    same = (tracks["artist"][heard] == artist) & (artist >= 0)
    found["own_artist_share"] = plays[same].sum() / max(plays.sum(), 1)
    found["own_artist_items"] = same.sum()
    found["own_artist_idle_days"] = ages[same].min() if same.any() else NO_DAYS
    found["listener_plays"], found["listener_items"] = plays.sum(), len(heard)
    found["listener_artists"] = len(set(tracks["artist"][heard].tolist()))
    found["listener_idle_days"] = ages.min() if len(ages) else NO_DAYS
    share = tracks["plays"][item] / tracks["plays"].sum()
    recent = tracks["recent"][item] / tracks["recent"].sum()
    found["track_trend"] = np.log((recent + 1e-6) / (share + 1e-6))
    hours = one.hours[user]
    found["hour_match"] = hours @ tracks["hours"][item] / max(np.linalg.norm(hours), 1e-12)
    near = slice(tracks["near_starts"][item], tracks["near_starts"][item + 1])
    pairs = list(zip(tracks["near"][near].tolist(), tracks["near_scores"][near].tolist(), strict=True))
    speaking = [(score, ages[heard.tolist().index(other)]) for other, score in pairs if other in heard]
    found["near_best"] = max((score for score, _ in speaking), default=0.0)
    found["near_sum"], found["near_count"] = sum(score for score, _ in speaking), len(speaking)
    found["near_recent"] = sum(score * 0.5**age for score, age in speaking)
    taste = plays @ tracks["content"][heard] if len(heard) else np.zeros(3)
    known = tracks["has_content"][item] and np.any(taste)
    found["content_cosine"] = taste @ tracks["content"][item] / np.linalg.norm(taste) if known else -1.0
    return found


@pytest.mark.parametrize("seed", range(3))
def test_features_are_those_of_brute_force(seed: int) -> None:
    one, tracks = some_listeners(seed), some_tracks(seed + 50)
    names = feature_names(RETRIEVERS)
    found, features = candidate_features(one, tracks, CANDIDATES, names)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    for user in range(LISTENERS):
        firsts = {int(item) for items, _ in one.lists.values() for item in items[user][:CANDIDATES]}
        assert found[user].tolist() == sorted(firsts)
    for row, (user, item) in enumerate(zip(found.rows, found.values, strict=True)):
        wanted = brute_force(one, tracks, int(user), int(item))
        own = dict(zip(names, features[row], strict=True))
        np.testing.assert_allclose([own[name] for name in wanted], list(wanted.values()), atol=2e-6, rtol=1e-6)


def test_a_row_depends_on_its_listener_alone() -> None:
    one, tracks = some_listeners(1), some_tracks(2)
    names = feature_names(RETRIEVERS)
    found, whole = candidate_features(one, tracks, CANDIDATES, names)
    for user in range(LISTENERS):
        lists = {
            name: (items.part(user, user + 1), scores.part(user, user + 1))
            for name, (items, scores) in one.lists.items()
        }
        alone = Listeners(
            lists,
            *(column.part(user, user + 1) for column in (one.heard, one.plays, one.ages)),
            one.oldest[[user]],
            one.hours[[user]],
            one.weekdays[[user]],
        )
        own, features = candidate_features(alone, tracks, CANDIDATES, names)
        assert own.values.tolist() == found[user].tolist()
        assert features.tobytes() == whole[found.starts[user] : found.starts[user + 1]].tobytes()


def test_a_group_that_is_left_out_has_no_columns() -> None:
    everything = feature_names(RETRIEVERS)
    without = feature_names(RETRIEVERS, ("context", "artist"))
    assert set(everything) - set(without) == {
        "hour_match",
        "weekday_match",
        "own_artist_share",
        "own_artist_items",
        "own_artist_idle_days",
    }
    assert dict(zip(everything, feature_directions(everything), strict=True))["als_rank"] == -1


def planted(seed: int, listeners: int = 150, width: int = 20) -> Examples:
    """Candidates of which the retriever's rank tells little, and `hour_match` (column 2) nearly all."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(listeners * width, 4)).astype(np.float32)
    said = 0.3 * features[:, 0] + 2.0 * features[:, 2] + 0.3 * rng.normal(size=len(features))
    by_listener = said.reshape(listeners, width)
    labels = by_listener >= np.sort(by_listener, axis=1)[:, [-3]]
    return Examples(features, labels.ravel().astype(np.int8), np.full(listeners, width))


NAMES = ("als_score", "track_plays", "hour_match", "near_best")
SMALL = RankerParams(trees=40, leaves=7, min_leaf=20, retrievers=("als",))


def test_it_finds_what_the_retriever_ignores() -> None:
    model = fit_ranker(planted(1), NAMES, SMALL, seed=5)
    other = planted(2)
    scores = predicted(lightgbm.Booster(model_str=model.text), other.features).reshape(150, 20)
    labels = other.labels.reshape(150, 20)
    best_retriever = ndcg_score(labels, other.features[:, 0].reshape(150, 20), k=10)
    assert ndcg_score(labels, scores, k=10) > 0.9 > best_retriever + 0.3
    found = gains(model)
    assert max(found, key=lambda name: found[name]) == "hour_match"
    assert sum(found.values()) == pytest.approx(1.0)


def test_same_rows_and_seed_give_the_same_trees() -> None:
    texts = [fit_ranker(planted(1), NAMES, SMALL, seed=5).text for _ in range(2)]
    assert texts[0] == texts[1]
    assert fit_ranker(planted(1), NAMES, SMALL, seed=6).text != texts[0]


def test_with_monotone_a_better_score_of_the_retriever_never_lowers() -> None:
    examples = planted(3)
    examples.features[:, 0] *= -1  # it speaks against, which the constraint forbids to learn
    params = SMALL.model_copy(update={"monotone": True})
    for fit, least in ((params, 0.0), (SMALL, -np.inf)):
        trees = lightgbm.Booster(model_str=fit_ranker(examples, NAMES, fit, seed=5).text)
        ladder = np.zeros((50, 4), np.float32)
        ladder[:, 0] = np.linspace(-3, 3, 50)
        steps = np.diff(predicted(trees, ladder))
        assert steps.min() >= least
        assert fit is params or steps.min() < 0


def test_a_saved_ranker_is_refused_with_other_features() -> None:
    model = fit_ranker(planted(1), NAMES, SMALL, seed=5)
    facts = json.loads(json.dumps(model.facts()))
    assert RankerModel.of_facts(facts, "here", NAMES) == model
    with pytest.raises(InputError, match=r"today's features, found without content_cosine; with near_best"):
        RankerModel.of_facts(facts, "here", (*NAMES[:3], "content_cosine"))
    with pytest.raises(InputError, match="a saved ranker"):
        RankerModel.of_facts({"features": []}, "here", NAMES)


def test_examples_without_an_order_are_refused() -> None:
    one = planted(1)
    with pytest.raises(InputError, match="found 0 played"):
        fit_ranker(Examples(one.features, np.zeros_like(one.labels), one.sizes), NAMES, SMALL, seed=5)
    one.features[3, 1] = np.nan
    with pytest.raises(NonFiniteError):
        fit_ranker(one, NAMES, SMALL, seed=5)
