"""The data of `benchmarks.cold_start`: who played what, what is known of each track, and what is to be found."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer

from benchmarks.measure import ROOT
from benchmarks.protocol_files import one_file, read_columns, read_lines
from musicrec.config import load_config
from musicrec.entry import run_steps
from musicrec.io.tables import Lakehouse
from musicrec.models.als.fit import AlsParams
from musicrec.models.blocks import Ragged
from musicrec.models.cold_start.collect import by_hash, collect_world
from musicrec.models.cold_start.inputs import Matrix, Tracks
from musicrec.transforms.interactions import confidence_of
from musicrec.transforms.unplayed import unplayed_tracks

Ints = NDArray[np.int64]
FOLDS = 5
_STEPS = ["ingest_listens", "ingest_tracks", "build_silver", "build_features"]


@dataclass(frozen=True)
class Case:
    """One data set.

    Attributes
    ----------
    weights : of the training pairs [users × items], 0 where there is none.
    plays : of the items in training [items].
    wanted : by name, the pairs to find [users × items] and the pairs that are not ranked.
    tracks, ids : what is known of the tracks, and their ids.
    song : of each item, the place of its track; the number of tracks and above where it is none.
    artist, genres : of each item.
    unplayed : places of tracks that no one ever plays, by hash.
    als : settings of ALS.
    about : in words.
    """

    weights: Matrix
    plays: Matrix
    wanted: dict[str, tuple[Matrix, NDArray[np.bool_]]]
    tracks: Tracks
    ids: list[str]
    song: Ints
    artist: Ints
    genres: Ragged
    unplayed: Ints
    als: AlsParams
    about: str

    @property
    def users(self) -> int:
        """How many listeners."""
        return len(self.weights)

    @property
    def items(self) -> int:
        """How many items."""
        return self.weights.shape[1]

    def held_out(self, fold: int) -> Ints:
        """The items that this fold holds out: about a fifth of those with content, all items of a track together."""
        of_track = np.array([draw(track, "fold", FOLDS) for track in self.ids])
        is_track = self.song < len(self.ids)
        return np.flatnonzero(is_track & (of_track[np.where(is_track, self.song, 0)] == fold))


def draw(text: str, salt: str, parts: int) -> int:
    """A part, 0 .. parts − 1, by hash."""
    return int.from_bytes(blake2b(f"{salt}:{text}".encode(), digest_size=8).digest(), "big") % parts


def sample_case(spark: SparkSession, lakehouse: str | None, hits: Path | None, scratch: str) -> Case:
    """The bundled sample, or another lakehouse: its last day is to be found."""
    conf = ROOT / "conf" / "local.toml"
    if lakehouse is None:
        lakehouse = f"{scratch}/lakehouse"
        files = [ROOT / "data" / "sample" / "spotify_songs.csv.gz", *([hits] if hits else [])]
        listens = ROOT / "data" / "sample" / "listenbrainz"
        sources = (f"sources.tracks={','.join(map(str, files))}", f"sources.listens={listens}")
        run_steps(_STEPS, conf, None, (f"lakehouse.root={lakehouse}", *sources), False)
    lake = Lakehouse(spark, lakehouse)
    listens_table = lake.read("silver.listens").select("user_idx", "recording_idx", "listened_at")
    last = listens_table.agg(F.max("listened_at")).collect()[0][0].replace(hour=0, minute=0, second=0, microsecond=0)
    is_test = F.col("listened_at") >= F.lit(last)
    rows = listens_table.groupBy("user_idx", "recording_idx", is_test.alias("is_test")).count().toArrow()
    users, items, test, counts = (rows[name].to_numpy() for name in ("user_idx", "recording_idx", "is_test", "count"))
    shape = (int(users.max()) + 1, int(items.max()) + 1)
    train, later = np.zeros(shape), np.zeros(shape)
    train[users[~test], items[~test]] = counts[~test]
    later[users[test], items[test]] = counts[test]
    index = lake.read("silver.item_index").where("item_kind = 'recording'").withColumnRenamed("item_id", "recording_id")
    known = index.join(lake.read("silver.recordings").select("recording_id", "artist_key"), "recording_id", "inner")
    links = lake.read("silver.links").select("recording_id", "track_id")
    made = known.join(links, "recording_id", "left").where(F.col("item_idx") < shape[1])
    zeros = {"vector": F.array(F.lit(0.0)), "bias": F.lit(0.0), "plays": F.lit(1)}
    features = lake.read("silver.track_features")
    world = collect_world(features, made.withColumns(zeros), 1)
    ids = world.ids
    never = unplayed_tracks(features, lake.read("silver.recordings"), links)
    places = np.searchsorted(world.track_idx, never.select("track_idx").toArrow()["track_idx"].to_numpy())
    is_track = world.played.song < len(ids)
    share = train[:, is_track].sum() / train.sum()
    seen = train > 0
    return Case(
        confidence_of(train, "log"),
        train.sum(axis=0),
        {"new": (np.where(seen, 0.0, later), seen), "any": (later, np.zeros(shape, np.bool_))},
        world.tracks,
        ids,
        world.played.song,
        world.played.artist,
        world.played.genres,
        by_hash(places, ids),
        load_config(conf).als,
        f"{is_track.sum():,} of them with content, {share:.0%} of the plays; found on {last:%Y-%m-%d}"
        f" ({timedelta(days=1).days} day)",
    )


def hetrec_case(folder: Path) -> Case:
    """Last.fm's artists, with their tags as content: a fifth of the pairs is to be found."""
    user_ids, item_ids, _ = read_columns(one_file(folder, "user_artists.dat"), 3, header=True)
    users, items = (np.unique(ids, return_inverse=True)[1] for ids in (user_ids, item_ids))
    shape = (int(users.max()) + 1, int(items.max()) + 1)
    part = np.array([draw(f"{u} {i}", "pair", 5) for u, i in zip(user_ids, item_ids, strict=True)])
    train, later = np.zeros(shape), np.zeros(shape)
    train[users[part > 0], items[part > 0]] = 1
    later[users[part == 0], items[part == 0]] = 1
    # Not by `read_columns`: a few times are below 0.
    lines = read_lines(one_file(folder, "user_taggedartists-timestamps.dat"))[1:]
    tagged = np.array(" ".join(lines).split(), np.int64).reshape(len(lines), 4).T
    artists = np.unique(item_ids)
    is_known = np.isin(tagged[1], artists)
    _, tags = np.unique(tagged[2][is_known], return_inverse=True)
    places = np.searchsorted(artists, tagged[1][is_known])
    counts = csr_matrix((np.ones(len(tags)), (places, tags)), (shape[1], int(tags.max()) + 1))
    has_tags = np.flatnonzero(np.asarray(counts.sum(axis=1)).ravel() > 0)
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(counts[has_tags])
    content = TruncatedSVD(64, random_state=1).fit_transform(weights)
    genres = _top_tags(counts[has_tags].tocsr())
    n = len(has_tags)
    song = np.full(shape[1], -1, np.int64)
    song[has_tags] = np.arange(n)
    song = np.where(song < 0, n + np.arange(shape[1]), song)
    tracks = Tracks(content, np.full(n, np.nan), np.full(n, -1), genres, np.arange(n))
    own = [genres[place] if place < n else np.zeros(0, np.int64) for place in song]
    starts = np.concatenate([[0], np.cumsum([len(one) for one in own])]).astype(np.int64)
    preset = tomllib.loads((ROOT / "benchmarks" / "presets" / "hetrec.toml").read_text(encoding="utf-8"))
    return Case(
        train,
        train.sum(axis=0),
        {"new": (later, train > 0)},
        tracks,
        [str(artists[place]) for place in has_tags],
        song,
        np.full(shape[1], -1),
        Ragged(np.concatenate(own), starts),
        np.zeros(0, np.int64),
        AlsParams.model_validate({**preset["als"], "rank": 64}),
        f"{n:,} of them with tags; a fifth of the pairs is found",
    )


def _top_tags(counts: csr_matrix, most: int = 3) -> Ragged:
    """The tags given most to each, the lower number where two are given as often."""
    found = []
    for row in range(counts.shape[0]):
        start, stop = counts.indptr[row], counts.indptr[row + 1]
        tags = counts.indices[start:stop]
        found.append(tags[np.lexsort((tags, -counts.data[start:stop]))][:most].astype(np.int64))
    starts = np.concatenate([[0], np.cumsum([len(one) for one in found])]).astype(np.int64)
    return Ragged(np.concatenate(found), starts)
