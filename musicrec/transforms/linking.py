"""Which catalogue track a recording is: by equal keys, then by other forms of the names, then by edit distance.

Every join is an equi-join on a block; what is compared letter by letter shares its artist or its title. The tiers,
their confidences and how they were measured: decision 0003.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.transforms.link_forms import FORM_SCHEMA, recording_forms, track_forms

# (kind of the recording's form, kind of the track's form) → method and confidence; other pairs are not linked.
_ARTIST_PAIRS: dict[tuple[str, str], tuple[str, float]] = {
    ("exact", "exact"): ("", 1.0),
    ("exact", "form"): ("artist_form", 0.96),
    ("form", "exact"): ("artist_form", 0.96),
    ("form", "form"): ("artist_form", 0.95),
    ("exact", "primary"): ("primary_artist", 0.93),
    ("primary", "exact"): ("primary_artist", 0.93),
    ("form", "primary"): ("primary_artist", 0.92),
    ("primary", "form"): ("primary_artist", 0.92),
    ("primary", "primary"): ("primary_artist", 0.9),
    ("exact", "part"): ("artist_part", 0.88),
    ("part", "exact"): ("artist_part", 0.88),
}
_TITLE_PAIRS: dict[tuple[str, str], tuple[str, float]] = {
    ("exact", "exact"): ("", 1.0),
    ("exact", "subtitle"): ("subtitle", 0.92),
    ("subtitle", "exact"): ("subtitle", 0.92),
    ("medley", "exact"): ("medley", 0.75),
}

_EDIT_CONFIDENCE = {"title_spelling": 0.85, "artist_spelling": 0.8}
_LETTERS_AN_EDIT = 7  # one edit for every so many letters of the shorter text
_SHORTEST_SPELLING = 6
_MOST_EDITS = 3
_BLOCK_LETTERS = 3


def link_recordings(recordings: DataFrame, tracks: DataFrame) -> DataFrame:
    """silver.links: of each recording that is in the catalogue, the one track that it most surely is.

    `recordings` has recording_id, artist_name and title; `tracks` track_id, artists, name and popularity. Of equally
    sure tracks: the most popular, then by method and track_id.
    """
    wanted = recordings.select("recording_id", "artist_name", "title").mapInPandas(recording_forms, FORM_SCHEMA)
    offered = tracks.select("track_id", "artists", "name").mapInPandas(track_forms, FORM_SCHEMA)
    popularity = tracks.select("track_id", F.coalesce("popularity", F.lit(-1.0)).alias("popularity"))
    by_form = _best(_linked_by_form(wanted, offered), popularity)
    rest = wanted.join(by_form.select(F.col("recording_id").alias("id")), "id", "left_anti")
    by_spelling = _linked_by_title_spelling(rest, offered).union(_linked_by_artist_spelling(rest, offered))
    return by_form.union(_best(by_spelling, popularity))


def linked_share(links: DataFrame, listens: DataFrame) -> DataFrame:
    """One row: plays, linked_plays, recordings, linked_recordings, share of plays and of recordings; 0 of none.

    `listens` has one row a play, with recording_id.
    """
    linked = F.col("track_id").isNotNull()
    counted = (
        listens.groupBy("recording_id")
        .agg(F.count("*").alias("plays"))
        .join(links.select("recording_id", "track_id"), "recording_id", "left")
        .agg(
            F.coalesce(F.sum("plays"), F.lit(0)).alias("plays"),
            F.coalesce(F.sum(F.when(linked, F.col("plays"))), F.lit(0)).alias("linked_plays"),
            F.count("*").alias("recordings"),
            F.count_if(linked).alias("linked_recordings"),
        )
    )
    return counted.withColumns(
        {
            "share": F.col("linked_plays") / F.greatest("plays", F.lit(1)),
            "recording_share": F.col("linked_recordings") / F.greatest("recordings", F.lit(1)),
        }
    )


def _linked_by_form(wanted: DataFrame, offered: DataFrame) -> DataFrame:
    """Candidates whose artist and title have a form in common."""
    pairs = wanted.alias("r").join(offered.alias("t"), ["artist", "title"], "inner")
    artist, title = _graded("artist_kind", _ARTIST_PAIRS), _graded("title_kind", _TITLE_PAIRS)
    graded = pairs.select(
        F.col("r.id").alias("recording_id"), F.col("t.id").alias("track_id"), artist.alias("a"), title.alias("t")
    ).where("a IS NOT NULL AND t IS NOT NULL")
    method = F.concat_ws("+", F.nullif("a.method", F.lit("")), F.nullif("t.method", F.lit("")))
    return graded.select(
        "recording_id",
        "track_id",
        F.coalesce(F.nullif(method, F.lit("")), F.lit("exact")).alias("method"),
        F.round(F.col("a.confidence") * F.col("t.confidence"), 4).alias("confidence"),
    )


def _graded(kind: str, pairs: dict[tuple[str, str], tuple[str, float]]) -> Column:
    """The method and confidence of a pair of kinds, null where it is not linked."""
    return F.coalesce(
        *[
            F.when(
                (F.col(f"r.{kind}") == ours) & (F.col(f"t.{kind}") == theirs),
                F.struct(F.lit(method).alias("method"), F.lit(confidence).alias("confidence")),
            )
            for (ours, theirs), (method, confidence) in pairs.items()
        ]
    )


def _linked_by_title_spelling(wanted: DataFrame, offered: DataFrame) -> DataFrame:
    """Candidates of one artist whose titles differ by few letters, and by no digit or word of another recording."""
    near = "title_kind = 'exact' AND artist_kind != 'part'"
    return _near(wanted.where(near), offered.where(near), ["artist", "guard"], "title", "title_spelling")


def _linked_by_artist_spelling(wanted: DataFrame, offered: DataFrame) -> DataFrame:
    """Candidates of one title whose artists differ by few letters."""
    near = "title_kind = 'exact' AND artist_kind IN ('exact', 'form')"
    return _near(wanted.where(near), offered.where(near), ["title"], "artist", "artist_spelling")


def _near(wanted: DataFrame, offered: DataFrame, same: list[str], compared: str, method: str) -> DataFrame:
    """Pairs equal in `same` and near in `compared`: texts that share neither start nor end are not even compared."""
    ours, theirs = F.col(f"r.{compared}"), F.col(f"t.{compared}")
    shorter = F.least(F.length(ours), F.length(theirs))
    allowed = F.least(F.floor(shorter / _LETTERS_AN_EDIT) + 1, F.lit(_MOST_EDITS)).cast("int")
    edits = F.levenshtein(ours, theirs)
    near = (shorter >= _SHORTEST_SPELLING) & (F.abs(F.length(ours) - F.length(theirs)) <= _MOST_EDITS)
    pairs = _blocked(wanted, compared).alias("r").join(_blocked(offered, compared).alias("t"), [*same, "block"])
    return (
        pairs.where(near)
        .withColumn("edits", edits)
        .where(F.col("edits") <= allowed)
        .select(
            F.col("r.id").alias("recording_id"),
            F.col("t.id").alias("track_id"),
            F.lit(method).alias("method"),
            F.round(F.lit(_EDIT_CONFIDENCE[method]) - 0.5 * F.col("edits") / shorter, 4).alias("confidence"),
        )
    )


def _blocked(forms: DataFrame, compared: str) -> DataFrame:
    text = F.col(compared)
    ends = F.array(
        F.concat(F.lit("<"), F.left(text, F.lit(_BLOCK_LETTERS))),
        F.concat(F.lit(">"), F.right(text, F.lit(_BLOCK_LETTERS))),
    )
    return forms.withColumn("block", F.explode(ends))


def _best(candidates: DataFrame, popularity: DataFrame) -> DataFrame:
    """One track a recording: the surest, of equals the most popular, then by method and track_id."""
    order = F.struct((-F.col("confidence")).alias("_c"), (-F.col("popularity")).alias("_p"), "method", "track_id")
    best = candidates.join(popularity, "track_id", "inner").groupBy("recording_id").agg(F.min(order).alias("best"))
    return best.select(
        "recording_id", "best.track_id", "best.method", (-F.col("best._c")).cast("double").alias("confidence")
    )
