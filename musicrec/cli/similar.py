"""`musicrec similar`: what is like a song, or like what somebody typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from musicrec.cli.options import print_grid, with_root
from musicrec.config import load_config
from musicrec.entry import ended_with
from musicrec.errors import InputError
from musicrec.io.delta_rows import rows_or_none
from musicrec.logs import shown_score
from musicrec.pipelines.song_catalogue import SongCatalogue, load_songs
from musicrec.pipelines.typed_search import FEATURES, Query, search_typed
from musicrec.ranking.typed_match import parse_wish, parse_years


@click.command()
@click.option("--title", help="Of the song; a small slip is forgiven with --artist.")
@click.option("--artist", help="Of the song; may be left out where one artist alone has the title.")
@click.option("--genre", "genres", multiple=True, help="Genre or tag, or a word of one; may be repeated.")
@click.option("--year", help="1975, 1970-1979 or 1970s.")
@click.option("--energy", help="low, medium, high, a number or a range such as 0.6-0.8.")
@click.option("--tempo", help="slow, medium, fast, beats a minute or a range such as 120-130.")
@click.option("--danceability", help="As energy.")
@click.option("--valence", help="How happy, as energy.")
@click.option("--acousticness", help="As energy.")
@click.option("--instrumentalness", help="As energy.")
@click.option("--loudness", help="Decibels, as energy.")
@click.option("-n", type=click.IntRange(1, 1000), default=10, show_default=True, help="At most this many.")
@with_root
def similar(
    title: str | None,
    artist: str | None,
    genres: tuple[str, ...],
    year: str | None,
    n: int,
    config: Path,
    root: str | None,
    **wishes: str | None,
) -> None:
    """Print what is like a song, or what matches a genre, years and how it sounds."""

    def work() -> None:
        typed = {name: text for name in FEATURES if (text := wishes[name])}
        asked = bool(genres or year or typed)
        if bool(title) == asked or (artist and not title):
            found = "both" if title and asked else "neither"
            raise InputError("musicrec similar", "--title (and --artist), or --genre, --year, --energy ...", found)
        years = parse_years(year, "--year") if year else None
        parsed = {name: parse_wish(text, f"--{name}") for name, text in typed.items()}
        where = root or load_config(config).lakehouse.root
        catalogue = load_songs(where)
        if title:
            song = catalogue.names.meant(artist, title, "--title" if not artist else "--title and --artist")
            _like_song(catalogue, song, n)
        else:
            _typed(catalogue, Query(genres, years, parsed), n)

    ended_with(work)


def _like_song(catalogue: SongCatalogue, song: int, n: int) -> None:
    names = catalogue.names
    near = catalogue.content.near(song, n)
    rows = []
    for rank, other in enumerate(near.tolist(), start=1):
        likeness = f"{catalogue.content.likeness(song, other):.3f}"
        years = str(catalogue.songs.year[other] or "")
        rows.append((str(rank), names.titles[other], names.artists[other], years, likeness))
    if rows:
        print_grid(f"Sounds like {names.shown(song)}", ("", "title", "artist", "year", "cosine"), rows)
    others = _by_plays(catalogue, song, n)
    for model, own in others.items():
        cells = [(str(row["rank"]), row["title"] or "", row["artist"], shown_score(row["score"], 3)) for row in own]
        print_grid(f"Near {names.shown(song)} by {model}", ("", "title", "artist", "score"), cells)
    if not rows and not others:
        raise InputError(names.shown(song), "features of a linked track, or neighbours", "neither")


def _by_plays(catalogue: SongCatalogue, song: int, n: int) -> dict[str, list[dict[str, Any]]]:
    """The neighbours of a song's recording by each model of gold.similar_tracks but the content's."""
    item = catalogue.recording_id[song]
    columns = ["model", "rank", "title", "artist", "score"]
    rows = rows_or_none(catalogue.root, "gold.similar_tracks", columns, [("item", "=", item)]) if item else None
    found: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows.to_pylist() if rows is not None else [], key=lambda row: (row["model"], row["rank"])):
        if row["model"] != "content" and row["rank"] <= n:
            found.setdefault(row["model"], []).append(row)
    return found


def _typed(catalogue: SongCatalogue, query: Query, n: int) -> None:
    found = search_typed(catalogue, query, n)
    names, songs = catalogue.names, catalogue.songs
    wished = sorted(query.wishes)
    rows = []
    for rank, (song, fit, popularity, facts) in enumerate(
        zip(found.songs.tolist(), found.match.tolist(), found.popularity.tolist(), found.facts, strict=True), start=1
    ):
        values = [f"{facts[name]:.4g}" if facts[name] is not None else "" for name in wished]
        shown = "" if np.isnan(popularity) else f"{popularity:.0f}"
        genres = ", ".join((facts["genres"] or [])[:3])
        year = str(songs.year[song] or "")
        rows.append((str(rank), names.titles[song], names.artists[song], year, genres, *values, f"{fit:.0%}", shown))
    kind = "predicted popularity" if found.is_predicted else "popularity"
    print_grid("What matches", ("", "title", "artist", "year", "genres", *wished, "match", kind), rows)
