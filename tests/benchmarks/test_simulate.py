from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from benchmarks.listening import make_day, make_world
from benchmarks.simulate import Planted, main, simulate
from musicrec.io.listenbrainz import check_dumps, find_dumps
from musicrec.io.runs import Run
from musicrec.io.spotify import find_catalogues
from musicrec.pipelines.ingest_listens import ingest_listens
from musicrec.transforms.listens import ListenRules

LISTENS, LISTENERS, TRACKS = 40_000, 300, 900


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Planted]]:
    out = tmp_path_factory.mktemp("simulated")
    return out, simulate(out, LISTENS, LISTENERS, TRACKS, 2, seed=3)


def rows(out: Path, dump: str) -> pa.Table:
    files = sorted((out / "listenbrainz" / dump).glob("*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files])


def digests(out: Path) -> dict[str, str]:
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_arguments_give_the_same_files(made: tuple[Path, list[Planted]], tmp_path: Path) -> None:
    arguments = ["--listens", str(LISTENS), "--listeners", str(LISTENERS), "--tracks", str(TRACKS), "--increments", "2"]
    assert CliRunner().invoke(main, [str(tmp_path / "again"), *arguments, "--seed", "3"]).exit_code == 0
    assert digests(tmp_path / "again") == digests(made[0])
    simulate(tmp_path / "other", LISTENS, LISTENERS, TRACKS, 2, seed=4)
    assert digests(tmp_path / "other") != digests(made[0])
    refused = CliRunner().invoke(main, [str(tmp_path / "again")])
    assert refused.exit_code == 1
    assert "holds dumps already" in refused.output


def test_an_ingest_finds_what_was_planted(made: tuple[Path, list[Planted]], run: Run, tmp_path: Path) -> None:
    out, planted = made
    assert [p.rows for p in planted] == [LISTENS, LISTENS // 100, LISTENS // 100]
    assert all(p.duplicates > 0 for p in planted)
    assert planted[0].bad > 0
    dumps = find_dumps([str(out / "listenbrainz")], tmp_path)
    assert [dump.kind for dump in dumps] == ["full", "incremental", "incremental"]
    assert list(check_dumps(dumps).values()) == [p.rows for p in planted]
    ingest_listens(run, dumps, ListenRules())
    books = {row["name"]: row for row in run.lakehouse.read("ops.sources").collect()}
    for p in planted:
        row = books[p.name]
        assert (row.rows_in, row.rows_duplicate, row.rows_quarantined) == (p.rows, p.duplicates, p.bad)
    [catalogue] = find_catalogues([str(out / "synthetic_tracks.csv")])
    assert catalogue.schema_name == "spotify_1million"


def test_it_says_that_it_is_synthetic(made: tuple[Path, list[Planted]]) -> None:
    out, planted = made
    assert all("synthetic" in p.name for p in planted)
    readme = (out / "README.md").read_text()
    assert readme.startswith("# Synthetic")
    assert f"--listens {LISTENS} --listeners {LISTENERS}" in readme


def test_listening_looks_like_listening(made: tuple[Path, list[Planted]]) -> None:
    table = rows(made[0], made[1][0].name)
    # A tenth of the tracks is not mapped, so has neither its own nor its artist's MBID.
    is_null = table["recording_mbid"].is_null().to_numpy()
    np.testing.assert_array_equal(is_null, table["artist_credit_mbids"].is_null().to_numpy())
    assert 0.02 < is_null.mean() < 0.3
    plays = np.sort(np.unique(table["artist_name"].to_numpy(), return_counts=True)[1])[::-1]
    # Zipf: of equals, a tenth of the artists would have a tenth of the plays.
    assert plays[: len(plays) // 10].sum() > 0.2 * len(table)
    user, msid = table["user_id"].to_numpy(), table["recording_msid"].to_numpy()
    assert len(set(zip(user, msid, strict=True))) < 0.75 * len(table)  # repeats
    second = table["listened_at"].to_numpy().astype("datetime64[s]").astype(np.int64)
    order = np.lexsort((second, user))
    gaps = np.diff(second[order])[np.diff(user[order]) == 0]
    assert 0.7 < (gaps < 600).mean() < 0.95  # sessions


def test_tastes_last_and_new_listeners_come() -> None:
    world = make_world(400, 2000, 100, seed=1)
    days = [make_day(world, day, 3000) for day in (50, 51)]
    assert all(len(day.user) == 3000 for day in days)
    keys = [set(zip(day.user.tolist(), day.second.tolist(), strict=True)) for day in days]
    assert all(len(key) == 3000 for key in keys)  # no listener plays two tracks at once
    genre = np.searchsorted(world.genre_start, days[0].track, side="right") - 1
    assert (genre[:, None] == world.genres[days[0].user]).any(axis=1).mean() > 0.6
    pairs = [set(zip(day.user.tolist(), day.track.tolist(), strict=True)) for day in days]
    assert len(pairs[0] & pairs[1]) > 0.1 * len(pairs[0])
    for day in days:
        assert (world.joined[day.user] <= day.day).all()
        assert (day.second // 86_400 == day.day).all()
    assert 0 < (world.joined > 51).mean() < 0.3
