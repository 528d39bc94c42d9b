"""Which catalogue track a recording is: by equal keys, by other forms of the names, by few letters' difference.

There is one equi-join, on blocks: an artist's form with a title's form, an artist with the start or end of a title, a
title with the start or end of an artist. The tiers, their confidences and how they were measured: decision 0003.
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
    ("exact", "number"): ("number", 0.95),
    ("number", "exact"): ("number", 0.95),
    ("exact", "subtitle"): ("subtitle", 0.92),
    ("subtitle", "exact"): ("subtitle", 0.92),
    ("order", "order"): ("order", 0.9),
    ("medley", "exact"): ("medley", 0.75),
    ("medley", "subtitle"): ("medley", 0.7),
}

_EDIT_CONFIDENCE = {"title_spelling": 0.85, "artist_spelling": 0.8}
_LETTERS_AN_EDIT = 7  # one edit for every so many letters of the shorter text
_SHORTEST_SPELLING = 6
_MOST_EDITS = 3
_BLOCK_LETTERS = 3


def link_recordings(recordings: DataFrame, tracks: DataFrame, spellings: DataFrame | None = None) -> DataFrame:
    """silver.links: of each recording that is in the catalogue, the one track that it most surely is.

    `recordings` has recording_id, artist_name and title; `tracks` track_id, artists, name and popularity. `spellings`
    (track_id, artists, name; bronze.tracks) adds what other catalogues call the same tracks. Of equally sure tracks:
    the most popular, then by method and track_id.
    """
    names = tracks.select("track_id", "artists", "name")
    if spellings is not None:
        names = names.union(spellings.select("track_id", "artists", "name")).distinct()
    wanted = recordings.select("recording_id", "artist_name", "title").mapInPandas(recording_forms, FORM_SCHEMA)
    offered = names.mapInPandas(track_forms, FORM_SCHEMA)
    pairs = _blocked(wanted).alias("r").join(_blocked(offered).alias("t"), "block", "inner")
    found = F.coalesce(_by_form(), _by_spelling("artist", "title"), _by_spelling("title", "artist"))
    candidates = pairs.select(
        F.col("r.id").alias("recording_id"), F.col("t.id").alias("track_id"), found.alias("found")
    ).where("found IS NOT NULL")
    popularity = tracks.select("track_id", F.coalesce("popularity", F.lit(-1.0)).alias("popularity"))
    surest = F.struct(
        (-F.col("found.confidence")).alias("_c"), (-F.col("popularity")).alias("_p"), "found.method", "track_id"
    )
    best = candidates.join(popularity, "track_id", "inner").groupBy("recording_id").agg(F.min(surest).alias("best"))
    return best.select("recording_id", "best.track_id", "best.method", (-F.col("best._c")).alias("confidence"))


def linked_share(links: DataFrame, recordings: DataFrame) -> DataFrame:
    """One row: plays, linked_plays, recordings, linked_recordings, share of plays and of recordings; 0 of none.

    `recordings` has recording_id and plays.
    """
    linked = F.col("track_id").isNotNull()
    counted = (
        recordings.select("recording_id", "plays")
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


def _blocked(forms: DataFrame) -> DataFrame:
    """Each form under its blocks; only forms under one block are compared."""
    title_may_differ = (F.col("title_kind") == "exact") & (F.col("artist_kind") != "part")
    artist_may_differ = (F.col("title_kind") == "exact") & F.col("artist_kind").isin("exact", "form")
    blocks = F.concat(
        F.array(_block("f", "artist", F.col("title"))),
        F.when(title_may_differ, _ends("t", "artist", "title")).otherwise(F.array()),
        F.when(artist_may_differ, _ends("a", "title", "artist")).otherwise(F.array()),
    )
    return forms.withColumn("block", F.explode(blocks))


def _block(kind: str, shared: str, rest: Column) -> Column:
    return F.concat_ws("|", F.lit(kind), shared, "guard", rest) if kind != "f" else F.concat_ws("|", shared, rest)


def _ends(kind: str, shared: str, compared: str) -> Column:
    """Blocks of the start and the end of a text: two that share neither are not compared."""
    text, letters = F.col(compared), F.lit(_BLOCK_LETTERS)
    ends = F.array(
        _block(f"{kind}<", shared, F.left(text, letters)), _block(f"{kind}>", shared, F.right(text, letters))
    )
    return F.when(F.length(text) >= _SHORTEST_SPELLING, ends).otherwise(F.array())


def _by_form() -> Column:
    """Method and confidence of a pair whose artist and title have a form in common; null of another."""
    artist, title = _graded("artist", _ARTIST_PAIRS), _graded("title", _TITLE_PAIRS)
    method = F.concat_ws("+", F.nullif(artist["method"], F.lit("")), F.nullif(title["method"], F.lit("")))
    found = F.struct(
        F.coalesce(F.nullif(method, F.lit("")), F.lit("exact")).alias("method"),
        F.round(artist["confidence"] * title["confidence"], 4).alias("confidence"),
    )
    return F.when(artist.isNotNull() & title.isNotNull(), found)


def _graded(what: str, pairs: dict[tuple[str, str], tuple[str, float]]) -> Column:
    """The method and confidence of two equal forms of these kinds, null where they are not linked."""
    ours, theirs = F.col(f"r.{what}_kind"), F.col(f"t.{what}_kind")
    grades = [
        F.when((ours == a) & (theirs == b), F.struct(F.lit(m).alias("method"), F.lit(c).alias("confidence")))
        for (a, b), (m, c) in pairs.items()
    ]
    return F.when(F.col(f"r.{what}") == F.col(f"t.{what}"), F.coalesce(*grades))


def _by_spelling(shared: str, compared: str) -> Column:
    """Method and confidence of a pair equal in one text and near in the other; null of another.

    Near: one edit for every seven letters and one more, three at most. Titles with different digits or words of
    another recording never are, nor names of which one is the other with something behind it ("Animals II").
    """
    ours, theirs = F.col(f"r.{compared}"), F.col(f"t.{compared}")
    shorter = F.least(F.length(ours), F.length(theirs))
    allowed = F.least(F.floor(shorter / _LETTERS_AN_EDIT) + 1, F.lit(_MOST_EDITS))
    edits = F.levenshtein(ours, theirs, _MOST_EDITS)
    both_exact = (F.col("r.title_kind") == "exact") & (F.col("t.title_kind") == "exact")
    whole = ~F.col("r.artist_kind").isin("part") & ~F.col("t.artist_kind").isin("part")
    if compared == "artist":
        whole = F.col("r.artist_kind").isin("exact", "form") & F.col("t.artist_kind").isin("exact", "form")
        whole = whole & ~F.startswith(ours, theirs) & ~F.startswith(theirs, ours)
    near = (shorter >= _SHORTEST_SPELLING) & edits.between(0, allowed)
    same = (F.col(f"r.{shared}") == F.col(f"t.{shared}")) & (F.col("r.guard") == F.col("t.guard"))
    method = f"{compared}_spelling"
    confidence = F.round(F.lit(_EDIT_CONFIDENCE[method]) - 0.5 * edits / shorter, 4)
    return F.when(
        same & both_exact & whole & near, F.struct(F.lit(method).alias("method"), confidence.alias("confidence"))
    )
