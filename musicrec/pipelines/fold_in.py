"""Listeners folded in against the last fit's items: a batch on nights between fits, or one at a time without Spark."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicrec.errors import InputError
from musicrec.io.delta_rows import read_rows
from musicrec.io.runs import Run
from musicrec.models.als.fold_in import FoldIn, fold_in
from musicrec.models.als.params import AlsParams
from musicrec.models.als.scale import Scale
from musicrec.models.blocks import read_vectors
from musicrec.models.embedding import EmbeddingModel, ItemMatrix
from musicrec.models.significant import significant
from musicrec.pipelines.earlier_models import newest_als_before, vectors_of
from musicrec.pipelines.training_data import TrainingData
from musicrec.ranking.catalogue import lengths
from musicrec.transforms.ids import mbid
from musicrec.transforms.interactions import Confidence, ItemKind, confidence_of

# What a published model's figures say where it was not fitted: days since its items were.
ITEMS_AGE = "items_age_days"

_PLAYS = re.compile(r"[0-9]+(?:\.[0-9]+)?")
# Nobody plays one item more often; a longer number is part of an id.
_MOST_PLAYS = 1_000_000


def fold_in_als(run: Run, data: TrainingData, params: AlsParams) -> EmbeddingModel | None:
    """Every listener's vector against the items of the last fit, where that is less than `refit_days` old.

    None where it is time to fit again, or where the settings, or what they are multiples of, have changed since.
    """
    earlier = newest_als_before(run) if params.refit_days > 1 else None
    settings = json.dumps(params.model_dump(mode="json"), sort_keys=True)
    scale = Scale.read(earlier.figures) if earlier else None
    if earlier is None or scale is None or earlier.params != settings:
        return None
    age = earlier.figures.get(ITEMS_AGE, 0.0) + (run.day - earlier.as_of).days
    if age >= params.refit_days:
        return None
    items = vectors_of(run, "als", "models.item_vectors", earlier.item_vectors_version)
    users = fold_in(data.interactions, items, params, scale)
    run.log.info("als: listeners are folded in, items are those of the last fit", items_age_days=age)
    return EmbeddingModel("als", users, items, scale.figures | {ITEMS_AGE: float(age)})


@dataclass(frozen=True)
class Offer:
    """A place of a list: `rank` from 1, the item and its names (an artist has no title), its score."""

    rank: int
    item: str
    title: str | None
    artist: str
    score: float


class ListenerLists:
    """Lists for listeners who are known by what they played alone, from the newest ALS in a lakehouse; no Spark.

    Parameters
    ----------
    root : the lakehouse, a folder or an address that delta-rs reads.
    item_kind : what an item is, `recording` or `artist`.
    confidence : how plays become a weight, as the model was trained.

    Raises
    ------
    TableMissingError, InputError : there is no model yet.
    """

    def __init__(self, root: str, item_kind: ItemKind, confidence: Confidence) -> None:
        self._confidence = confidence
        self._kind: ItemKind = item_kind
        rows = read_rows(root, "models.item_vectors", ["item_idx", "vector", "bias"], [("model", "=", "als")])
        models = read_rows(root, "ops.models", ["trained_at", "params", "figures"], [("model", "=", "als")]).to_pylist()
        if not rows.num_rows or not models:
            raise InputError(f"table models.item_vectors at {root}", "vectors of the model als", "none")
        newest = max(models, key=lambda model: model["trained_at"])
        scale = Scale.read(dict(newest["figures"] or ()))
        if scale is None:
            raise InputError(f"table ops.models at {root}", "an als of this release; run train_als", "an older one")
        params = AlsParams.model_validate_json(newest["params"])
        item_idx = rows["item_idx"].to_numpy()
        order = np.argsort(item_idx, kind="stable")
        vectors = read_vectors(rows["vector"].combine_chunks())[order]
        self._fold = FoldIn(ItemMatrix(item_idx[order], vectors, rows["bias"].to_numpy()[order]), params, scale)
        self._longest = float(lengths(vectors).max(initial=0.0))
        self._names = _names(root, item_kind)
        self._index = {names[0]: idx for idx, names in self._names.items()}

    def plays_of(self, items: Sequence[str]) -> dict[str, float]:
        """item_id → plays of texts such as `ITEM_ID` or `ITEM_ID:PLAYS`; those of one item are added up.

        An id may hold colons (`h:1f…`, `m:a,b`): plays are what stands behind the last one where the whole is no item.
        An MBID may be written as its address, in upper case or in brackets.

        Raises
        ------
        InputError : an item that silver.item_index does not have, or plays that are not a number above 0 and at most a
            million.
        """
        plays: dict[str, float] = {}
        for text in items:
            item, number = self._read(text)
            count = float(number) if number is not None and _PLAYS.fullmatch(number) else float(number is None)
            if not 0 < count <= _MOST_PLAYS:
                raise InputError(f"the item {text}", f"PLAYS above 0 and at most {_MOST_PLAYS:,}", repr(number))
            plays[item] = plays.get(item, 0.0) + count
        return plays

    def _read(self, text: str) -> tuple[str, str | None]:
        """The item that a text names, and the text of its plays, where it has any."""
        name, _, number = text.strip().rpartition(":")
        for item, behind in (
            (self._item(text), None),
            (self._item(name) or self._of_mbid(name), number.strip()),
            (self._of_mbid(text), None),
        ):
            if item is not None:
                return item, behind
        raise InputError("musicrec fold-in", "an item_id of silver.item_index, or ITEM_ID:PLAYS", repr(text))

    def _item(self, text: str) -> str | None:
        return next((one for one in (text, text.strip(), text.strip().lower()) if one in self._index), None)

    def _of_mbid(self, text: str) -> str | None:
        return self._item(mbid(text, self._kind) or "")

    def recommend(self, plays: Mapping[str, float], n: int) -> list[Offer]:
        """The n best items that were not played, best first, ties by item_idx.

        Parameters
        ----------
        plays : item_id → plays.

        Raises
        ------
        InputError : none of the items is in the model; one that is not is passed over where others are.
        """
        known = {self._index[item]: count for item, count in plays.items() if item in self._index}
        heard = np.array(sorted(known), np.int32)
        rows, has_vector = self._fold.items.positions(heard)
        if not has_vector.any():
            found = ", ".join(sorted(plays)) or "no item"
            raise InputError("the listener's plays", "item_ids of silver.item_index that the model als has", found)
        weights = confidence_of(np.array([known[int(idx)] for idx in heard]), self._confidence)
        best, scores = self._best(self._fold.vector(heard, weights), rows[has_vector], n)
        return [self._offer(*place) for place in zip(itertools.count(1), best.tolist(), scores.tolist())]

    def _best(
        self, vector: NDArray[np.float32], out: NDArray[np.int64], n: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The rows of the n best items and their scores, as the top-N engine has them."""
        vectors = self._fold.items.vectors
        rough = vectors @ vector
        rough[out] = -np.inf
        wanted = min(n, len(rough) - len(out))
        if wanted <= 0:
            return np.zeros(0, np.int64), np.zeros(0)
        # All that can reach the n-th score, by the error of float32 products (see `ranking.engine`).
        error = (len(vector) + 6) * (2.0**-23 * self._longest * float(np.linalg.norm(vector)) + 2.0**-125)
        floor = float(np.partition(rough, len(rough) - wanted)[len(rough) - wanted]) - 2 * error
        reached = np.flatnonzero(rough >= floor)
        scores = significant(vectors[reached].astype(np.float64) @ vector.astype(np.float64))
        best = np.lexsort((reached, -scores))[:wanted]
        return reached[best], scores[best]

    def _offer(self, rank: int, row: int, score: float) -> Offer:
        item, title, artist = self._names[int(self._fold.items.item_idx[row])]
        return Offer(rank, item, title, artist, score)


def read_plays(root: str, item_kind: str, user_id: str) -> dict[str, float]:
    """A listener's plays by item_id, from silver.interactions.

    Raises
    ------
    TableMissingError, InputError : no such table or listener.
    """
    wanted = [("item_kind", "=", item_kind), ("user_id", "=", user_id)]
    rows = read_rows(root, "silver.interactions", ["item_id", "plays"], wanted)
    if not rows.num_rows:
        raise InputError(f"table silver.interactions at {root}", f"plays of the listener {user_id}", "none")
    return {row["item_id"]: float(row["plays"]) for row in rows.to_pylist()}


def _names(root: str, item_kind: str) -> dict[int, tuple[str, str | None, str]]:
    """item_idx → item_id, title, artist."""
    index = read_rows(root, "silver.item_index", ["item_id", "item_idx"], [("item_kind", "=", item_kind)])
    columns = ["recording_id", "title", "artist_id", "artist_name"]
    recordings = read_rows(root, "silver.recordings", columns)
    facts: dict[str, tuple[str | None, str]] = {}
    for recording, title, artist_id, artist in zip(*(recordings[name].to_pylist() for name in columns), strict=True):
        if item_kind == "artist":
            facts[artist_id] = (None, artist)
        else:
            facts[recording] = (title, artist)
    pairs = zip(index["item_idx"].to_pylist(), index["item_id"].to_pylist(), strict=True)
    return {idx: (item, *facts.get(item, (None, ""))) for idx, item in pairs}
