"""`musicrec playlist`: a playlist from songs, a listener or both, or one of gold.playlists; printed or as a file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np

from musicrec.cli.options import minutes, print_grid, with_root
from musicrec.config import load_config
from musicrec.entry import ended_with
from musicrec.errors import InputError
from musicrec.io.playlist_files import Entry, PlaylistFile, to_jspf, to_m3u
from musicrec.pipelines.playlist_request import Made, Request, make_playlist
from musicrec.pipelines.song_catalogue import SongCatalogue, load_songs
from musicrec.pipelines.stored_playlists import file_entries, stored_playlists
from musicrec.ranking.smooth_order import camelot

CREATOR = "musicrec"


@dataclass(frozen=True)
class _Output:
    """Where a playlist goes, and what it is called."""

    form: str
    file: Path | None
    name: str | None
    public: bool
    user_id: str | None


@click.command()
@click.option(
    "--seed",
    "seeds",
    multiple=True,
    help='"Artist - Title" or an id of a song to start from; any dash, may be repeated.',
)
@click.option("--user", "user_id", metavar="USER_ID", help="A listener, for whom it is.")
@click.option("-n", "songs", type=click.IntRange(1, 500), help="Songs.  [default: as configured]")
@click.option("--minutes", "wanted_minutes", type=click.FloatRange(1, 1440), help="How long, in place of -n.")
@click.option("--artist-cap", type=click.IntRange(min=1), help="Songs of one artist at most.  [default: as configured]")
@click.option("--unheard", is_flag=True, help="Add only songs that the listener has not played.")
@click.option("--seconds", type=click.FloatRange(min=0), default=2.0, show_default=True, help="Time to search in.")
@click.option("--kind", help="Show a stored playlist of the listener: daily-jams, discovery, by-decade or 1970s.")
@click.option("--name", help="Its title.")
@click.option("--public", is_flag=True, help="Mark the JSPF file as public.")
@click.option("--format", "form", type=click.Choice(["table", "jspf", "m3u"]), default="table", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File, in place of the screen.")
@with_root
def playlist(
    seeds: tuple[str, ...],
    user_id: str | None,
    songs: int | None,
    wanted_minutes: float | None,
    artist_cap: int | None,
    unheard: bool,
    seconds: float,
    kind: str | None,
    name: str | None,
    public: bool,
    form: str,
    out: Path | None,
    config: Path,
    root: str | None,
) -> None:
    """Make a playlist from songs, from a listener or from both; or show a stored one."""
    output = _Output(form, out, name, public, user_id)

    def work() -> None:
        settings = load_config(config)
        where = root or settings.lakehouse.root
        if kind:
            _stored(where, kind, output, bool(seeds or songs or wanted_minutes))
            return
        if songs and wanted_minutes:
            raise InputError("musicrec playlist", "-n or --minutes", "both")
        params = settings.playlists
        if artist_cap:
            params = params.model_copy(update={"artist_cap": artist_cap})
        began = time.perf_counter()
        catalogue = load_songs(where)
        rows = tuple(dict.fromkeys(catalogue.names.find(seed, "--seed") for seed in seeds))
        loaded = time.perf_counter()
        request = Request(rows, user_id, songs or params.songs, wanted_minutes, unheard, seconds)
        made = make_playlist(catalogue, request, params)
        took = f"loaded in {loaded - began:.1f} s, made in {time.perf_counter() - loaded:.2f} s"
        _write(where, name or _title(catalogue, request), _rows(catalogue, made), took, output)
        _note_what_lacks(catalogue, request, made)

    ended_with(work)


def _stored(root: str, kind: str, output: _Output, has_more: bool) -> None:
    if output.user_id is None or has_more:
        raise InputError("--kind", "--user and neither seeds nor a length", "seeds or a length" if has_more else "none")
    found = stored_playlists(root, output.user_id, kind)
    if len(found) > 1 and (output.file or output.form != "table"):
        raise InputError("--kind", f"one playlist for a file ({', '.join(found)})", kind)
    for stored, rows in found.items():
        title = output.name or f"{stored.replace('-', ' ').capitalize()} for {output.user_id}, {rows[0]['as_of']}"
        _write(root, title, rows, "", output)


def _write(root: str, title: str, rows: Sequence[dict[str, Any]], took: str, output: _Output) -> None:
    if output.form == "table":
        if output.file:
            raise InputError("--out", "--format jspf or m3u", "table")
        _print(title, rows, took)
        return
    entries = file_entries(root, rows)
    file = PlaylistFile(
        title=title,
        creator=CREATOR,
        made_at=datetime.now(UTC).replace(microsecond=0),
        entries=entries,
        created_for=output.user_id,
        public=output.public,
    )
    text = to_jspf(file) if output.form == "jspf" else to_m3u(file)
    if output.file:
        output.file.write_text(text, encoding="utf-8")
    else:
        click.echo(text, nl=False)
    _note_what_is_not_named(entries, output.form)


def _note_what_is_not_named(entries: Sequence[Entry], form: str) -> None:
    unknown = sum(not entry.recording_mbid for entry in entries)
    if form == "jspf" and unknown:
        note = f"{unknown} of {len(entries)} songs have no MBID; ListenBrainz takes playlists in which all have one"
        click.echo(f"musicrec: {note}", err=True)


def _print(title: str, rows: Sequence[dict[str, Any]], took: str) -> None:
    length = minutes(sum(row["duration_ms"] or 0 for row in rows))
    heading = f"{title}: {len(rows)} songs, {length or 'of unknown length'}{f' ({took})' if took else ''}"
    extras = [extra for extra in ("sound", "reason") if extra in rows[0]]
    cells = [
        [str(row["position"]), row["title"], row["artist"], minutes(row["duration_ms"] or 0), str(row["year"] or "")]
        + [row[extra] for extra in extras]
        for row in rows
    ]
    print_grid(heading, ["", "title", "artist", "time", "year", *extras], [[c or "" for c in row] for row in cells])


def _rows(catalogue: SongCatalogue, made: Made) -> list[dict[str, Any]]:
    songs, names = catalogue.songs, catalogue.names
    return [
        {
            "position": place,
            "item": catalogue.recording_id[song],
            "track_id": catalogue.track_id[song],
            "title": names.titles[song],
            "artist": names.artists[song],
            "duration_ms": int(songs.duration_ms[song]),
            "year": int(songs.year[song]),
            "sound": _sound(catalogue, song),
            "reason": reason,
        }
        for place, (song, reason) in enumerate(zip(made.songs.tolist(), made.reasons, strict=True), start=1)
    ]


def _sound(catalogue: SongCatalogue, song: int) -> str:
    """Tempo, key on the Camelot wheel and energy, as a listener follows an order."""
    songs = catalogue.songs
    if songs.track[song] < 0:
        return ""
    own = songs.sound(np.array([song]))
    hour = camelot(own.key, own.mode)[0]
    key = "" if np.isnan(hour) else f" {hour:.0f}{'B' if own.mode[0] == 1 else 'A'}"
    return f"{own.tempo[0]:.0f} bpm{key}, energy {own.energy[0]:.2f}"


def _title(catalogue: SongCatalogue, request: Request) -> str:
    seeds = [catalogue.names.shown(song) for song in request.seeds]
    shown = ", ".join(seeds[:2]) + (f" and {len(seeds) - 2} more" if len(seeds) > 2 else "")
    listener = f" for listener {request.user_id}" if request.user_id else ""
    return f"Playlist{f' from {shown}' if shown else ''}{listener}"


def _note_what_lacks(catalogue: SongCatalogue, request: Request, made: Made) -> None:
    if request.minutes is None:
        if len(made.songs) < request.songs:
            click.echo(f"musicrec: only {len(made.songs)} songs under this cap by artist", err=True)
        return
    off = int(catalogue.songs.duration_ms[made.songs].sum()) / 1000 - request.minutes * 60
    if abs(off) > request.tolerance_seconds:
        click.echo(
            f"musicrec: {abs(off):.0f} s {'too long' if off > 0 else 'too short'}; no choice is nearer", err=True
        )
