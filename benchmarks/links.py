"""How many of the sample's plays link to two published catalogues, and which links another version of the code changes.

    python -m benchmarks.links FOLDER [--out FILE] [--before FILE]

FOLDER holds the published `spotify_songs.csv` and `hit_predictor/`. The steps are the nightly's own: ingest_listens,
ingest_tracks and build_silver on the sample's dumps. `--out` keeps each spelling's link, `--before` shows what differs
from a file that was kept so.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click
from deltalake import DeltaTable

from benchmarks.measure import ROOT, print_rows
from musicrec.entry import ended_with, run_steps
from musicrec.errors import InputError

# (artist, title) as played → what it links to: artists, name, method and confidence; empty where it does not.
Links = Mapping[tuple[str, str], tuple[str, str, str, str]]
_CATALOGUES = ("spotify_songs.csv", "hit_predictor")
_STEPS = ["ingest_listens", "ingest_tracks", "build_silver"]
_NO_LINK = ("", "", "", "")


def build(root: str, catalogues: list[Path]) -> None:
    """Silver of the sample's listens and the catalogues, in a lakehouse at `root`."""
    told = (f"lakehouse.root={root}", f"sources.tracks={','.join(map(str, catalogues))}")
    sample = f"sources.listens={ROOT / 'data' / 'sample' / 'listenbrainz'}"
    run_steps(_STEPS, ROOT / "conf" / "local.toml", "2014-06-23", (*told, sample), False)


def shares(root: str) -> list[dict[str, object]]:
    """Plays and recordings, how many of them have a link, and the shares."""
    names = ("plays", "linked_plays", "recordings", "linked_recordings", "share", "recording_share")
    rows = DeltaTable(f"{root}/ops/metrics").to_pyarrow_table().to_pylist()
    found = {row["name"]: row["value"] for row in rows if row["name"] in names}
    return [{"engine": "link_recordings", **{name: round(found[name], 4) for name in names}}]


def links(root: str) -> dict[tuple[str, str], tuple[str, str, str, str]]:
    """Each spelling's link."""
    tracks = _rows(root, "tracks", "track_id", "artists", "name")
    linked = {
        row["recording_id"]: row for row in _rows(root, "links", "recording_id", "track_id", "method", "confidence")
    }
    names = {row["track_id"]: (" | ".join(row["artists"]), row["name"]) for row in tracks}
    found = {}
    for row in _rows(root, "spellings", "artist_name", "recording_name", "recording_id"):
        link = linked.get(row["recording_id"])
        told = (*names[link["track_id"]], link["method"], f"{link['confidence']:g}") if link else _NO_LINK
        found[row["artist_name"], row["recording_name"]] = told
    return found


def _rows(root: str, table: str, *columns: str) -> list[dict[str, object]]:
    return DeltaTable(f"{root}/silver/{table}").to_pyarrow_table(columns=list(columns)).to_pylist()


def differences(before: Links, now: Links) -> list[str]:
    """Three lines for each spelling whose link is another, in the order of names."""
    told = []
    for key in sorted(before.keys() | now.keys()):
        was, is_now = (" / ".join(found.get(key, _NO_LINK)) for found in (before, now))
        if was != is_now:
            told.append(f"{' / '.join(key)}\n  before: {was}\n  now:    {is_now}")
    return told


def write_links(file: Path, found: Links) -> None:
    """The links as CSV, in the order of names."""
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows((*names, *link) for names, link in sorted(found.items()))


def read_links(file: Path) -> dict[tuple[str, str], tuple[str, str, str, str]]:
    """What `write_links` wrote."""
    with file.open(encoding="utf-8", newline="") as rows:
        return {(row[0], row[1]): (row[2], row[3], row[4], row[5]) for row in csv.reader(rows)}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Keep each spelling's link in this file.")
@click.option("--before", type=click.Path(path_type=Path, dir_okay=False), help="Show what differs from this file.")
def main(folder: Path, out: Path | None, before: Path | None) -> None:
    """Link the sample's plays to the catalogues in FOLDER."""

    def work() -> None:
        catalogues = [folder / name for name in _CATALOGUES]
        missing = [path.name for path in catalogues if not path.exists()]
        if missing:
            raise InputError(folder, " and ".join(_CATALOGUES), f"no {' and no '.join(missing)}")
        with tempfile.TemporaryDirectory() as place:
            build(f"{place}/lakehouse", catalogues)
            print_rows(shares(f"{place}/lakehouse"), "Linked")
            found = links(f"{place}/lakehouse")
        if out:
            write_links(out, found)
        if before:
            changed = differences(read_links(before), found)
            click.echo("\n".join([f"{len(changed)} spellings are linked otherwise", *changed]))

    ended_with(work)


if __name__ == "__main__":
    main()
