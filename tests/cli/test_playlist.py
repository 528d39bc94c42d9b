from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from musicrec.cli import main
from tests.cli.small_lake import BANDS, ME, spotify_id, write_lake
from tests.io.test_playlist_files import read_jspf, read_m3u


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_lake(tmp_path_factory.mktemp("lake"))


def ask(root: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["playlist", *arguments, "--root", root], env={"COLUMNS": "220"})


def songs_of(root: str, *arguments: str) -> list[tuple[str, str]]:
    """(artist, title) in order, through the M3U file."""
    result = ask(root, *arguments, "--format", "m3u")
    assert result.exit_code == 0, result.output
    return [(entry["artist"], entry["title"]) for entry in read_m3u(result.stdout)]


def jspf_of(root: str, *arguments: str) -> list[tuple[str, str]]:
    result = ask(root, *arguments, "--format", "jspf")
    assert result.exit_code == 0, result.output
    return [(track.creator, track.title) for track in read_jspf(result.stdout).playlist.track]


def test_from_a_seed_with_the_cap_and_no_song_twice(root: str) -> None:
    found = jspf_of(root, "--seed", "Abba Cus - Song Abba 0", "-n", "8", "--artist-cap", "2")
    assert found[0] == ("Abba Cus", "Song Abba 0")
    assert len(set(found)) == len(found) == 8
    assert max(Counter(artist for artist, _ in found).values()) <= 2
    # Four bands sound like it; the last is found by its factors alone.
    assert {artist for artist, _ in found} <= {*BANDS[:4], BANDS[4], BANDS[5]}
    assert sum(artist in BANDS[:4] for artist, _ in found) >= 6
    assert found == jspf_of(root, "--seed", f"spotify:track:{spotify_id(0, 0)}", "-n", "8")
    assert len(set(jspf_of(root, "--seed", "r00", "-n", "8", "--seconds", "0"))) == 8
    assert found == jspf_of(root, "--seed", "compilation0000000000a", "-n", "8", "--seconds", "60")


def test_the_same_song_under_another_id_is_one_seed(root: str) -> None:
    twice = ("--seed", "r00", "--seed", "compilation0000000000a", "-n", "5")
    assert len(jspf_of(root, *twice)) == 5


def test_as_long_as_asked(root: str) -> None:
    result = ask(root, "--seed", "abba cus - song abba 1", "--minutes", "40", "--artist-cap", "4", "--format", "jspf")
    assert result.exit_code == 0, result.output
    lasts = sum(track.duration or 0 for track in read_jspf(result.stdout).playlist.track)
    assert abs(lasts - 40 * 60_000) <= 20_000
    table = ask(root, "--seed", "abba cus - song abba 1", "--minutes", "40", "--artist-cap", "4")
    assert re.search(r"songs, (39:[45]\d|40:[01]\d|40:20)", table.output)
    assert "bpm" in table.output
    short = ask(root, "--seed", "abba cus - song abba 1", "--minutes", "600")
    assert "too short" in short.stderr


def test_for_a_listener(root: str) -> None:
    found = songs_of(root, "--user", ME, "-n", "10")
    assert ("Abba Cus", "Song Abba 0") in found
    assert ("Bolero", "Song Bolero 2") not in found  # hated
    assert not any(artist == "Delta Five" for artist, _ in found)  # blocked
    unheard = jspf_of(root, "--user", ME, "-n", "10", "--unheard")
    assert not {("Abba Cus", "Song Abba 0"), ("Bolero", "Song Bolero 0"), ("Flux", "Song Flux 0")} & set(unheard)
    both = jspf_of(root, "--user", ME, "--seed", "Crank - Song Crank 5", "-n", "9")
    assert both[0] == ("Crank", "Song Crank 5")
    assert not any(artist == "Delta Five" for artist, _ in both)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--seed", "Abba Cuz - Song Abba O"), 'nearest: "Abba Cus - Song Abba'),
        (("--seed", "Hello"), "2 have one: Bolero, Abba Cus"),
        (("--seed", "Nothing like it at all - zzzz"), "nearest: none"),
        (("--user", "nobody"), "plays of the listener nobody"),
        ((), "--seed, --user or both"),
        (("--seed", "r00", "-n", "5", "--minutes", "9"), "-n or --minutes"),
        (("--seed", "r00", "--seed", "r01", "--artist-cap", "1"), "at most 1 songs of one artist"),
        (("--seed", "r00", "--seed", "r01", "--seed", "r10", "-n", "2"), "as many songs as seeds"),
        (("--user", ME, "--kind", "discovery", "--seed", "r00"), "--user and neither seeds"),
        (("--kind", "discovery"), "--user and neither seeds"),
        (("--user", ME, "--kind", "weekly"), "1970s, 1990s, daily-jams, discovery"),
        (("--user", ME, "--kind", "by-decade", "--format", "m3u"), "one playlist for a file (1970s, 1990s)"),
        (("--user", ME, "--kind", "discovery", "--out", "list.txt"), "--format jspf or m3u"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(root: str, arguments: tuple[str, ...], said: str) -> None:
    result = ask(root, *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_stored_playlists(root: str, tmp_path: Path) -> None:
    shown = ask(root, "--user", ME, "--kind", "daily-jams")
    assert shown.exit_code == 0, shown.output
    assert shown.output.index("Song Abba 1 [23]") < shown.output.index("Song Abba 2 [23]")
    assert "[16]" not in shown.output
    assert "Daily jams for me, 2014-06-23" in shown.output
    decades = ask(root, "--user", ME, "--kind", "by-decade")
    assert decades.output.count("Song Abba 1 [23]") == 2
    file = tmp_path / "list.jspf"
    saved = ask(root, "--user", ME, "--kind", "discovery", "--format", "jspf", "--out", str(file), "--name", "Mine")
    assert saved.exit_code == 0
    made = read_jspf(file.read_text("utf-8")).playlist
    assert made.title == "Mine"
    assert [track.identifier[0][-1] for track in made.track] == ["1", "2"]
    assert "0a1b2c3d" in made.track[0].identifier[0]
    assert saved.stderr == ""
    raw = json.loads(file.read_text("utf-8"))["playlist"]
    assert raw["extension"]["https://musicbrainz.org/doc/jspf#playlist"]["created_for"] == ME
