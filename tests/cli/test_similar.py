from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import write_deltalake
from scipy.stats import percentileofscore

from musicrec.cli import main
from musicrec.errors import InputError
from musicrec.ranking.typed_match import Wish, match, parse_wish, parse_years
from tests.cli.small_lake import ME, tracks, write_lake


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_lake(tmp_path_factory.mktemp("lake"))


def ask(root: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["similar", *arguments, "--root", root], env={"COLUMNS": "220"})


def test_like_a_song_by_sound_and_by_neighbours(root: str) -> None:
    result = ask(root, "--title", "Song Abba 0", "--artist", "Abba Cus", "-n", "3")
    assert result.exit_code == 0, result.output
    vectors = {row["track_id"]: np.array(row["vector"]) for row in tracks()[:-1]}
    own = vectors.pop(tracks()[0]["track_id"])
    cosine = {key: own @ v / np.linalg.norm(own) / np.linalg.norm(v) for key, v in vectors.items()}
    best = sorted(cosine, key=lambda key: -cosine[key])[:3]
    names = {row["track_id"]: row["name"] for row in tracks()}
    for track in best:
        assert names[track] in result.output
    assert "Near Abba Cus - Song Abba 0 by knn" in result.output
    assert "by content" not in result.output
    slip = ask(root, "--title", "Song Aba 0", "--artist", "Abba Cos", "-n", "3")
    assert slip.exit_code == 2 or "Sounds like Abba Cus - Song Abba 0" in slip.output
    assert ask(root, "--title", "song  FLUX 5", "--artist", "the flux", "-n", "1").exit_code == 0


def test_what_is_typed_is_ranked_by_match_and_predicted_popularity(root: str, tmp_path: Path) -> None:
    result = ask(root, "--genre", "Rock", "--energy", "0.9", "--year", "1970-1972", "-n", "12")
    assert result.exit_code == 0, result.output
    shown = [line.split() for line in result.output.splitlines() if "Song" in line]
    assert len(shown) == 12
    assert "Delta Five" not in "".join(result.output.split("Crank")[0])  # the less popular are predicted to be more
    assert [float(words[-1]) for words in shown] == sorted((float(words[-1]) for words in shown), reverse=True)
    assert "predicted popularity" in result.output
    published = ask(write_lake(tmp_path, with_popularity=False), "--genre", "techno", "-n", "1")
    assert "predicted" not in published.output
    assert "Song Flux 7" in published.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--genre", "tekno"), "nearest: techno"),
        (("--genre", "techno", "--year", "1975"), "a track of this genre and these years"),
        (("--energy", "very"), "low, slow, medium, high, fast, a number or a range"),
        (("--tempo", "130-120"), "a range from low to high"),
        (("--year", "old"), "1970-1979 or 1970s"),
        (("--title", "Song Abba 0", "--genre", "rock"), "found both"),
        ((), "found neither"),
        (("--artist", "Flux"), "found neither"),
        (("--title", "Hello"), "the artist too (2 have one"),
        (("--title", "Bohemian", "--artist", "Crank"), "nearest:"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(root: str, arguments: tuple[str, ...], said: str) -> None:
    result = ask(root, *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_wish() -> None:
    values = np.random.default_rng(1).normal(0, 1, 300)
    place = np.array([percentileofscore(values, value, kind="mean") / 100 for value in values])
    high = match(np.append(values, np.nan), Wish(2))
    np.testing.assert_allclose(high[:-1], np.clip(1 - (2 / 3 - place) * 3, 0, 1), atol=1e-9)
    assert high[-1] == 0
    within = match(values, Wish(None, -1.0, 1.0))
    assert (within[np.abs(values) <= 1] == 1).all()
    assert (within[np.abs(values) >= 1 + values.std()] == 0).all()
    assert match(np.full(3, np.nan), Wish(0)).tolist() == [0, 0, 0]
    assert parse_wish(" Fast ", "--tempo") == Wish(2)
    assert parse_wish("-12 - -6.5", "--loudness") == Wish(None, -12.0, -6.5)
    assert parse_wish("120..130", "--tempo") == Wish(None, 120, 130)
    assert parse_years("1970s", "--year") == (1970, 1979)
    assert parse_years("1975", "--year") == (1975, 1975)
    with pytest.raises(InputError, match="from the first to the last"):
        parse_years("1979-1970", "--year")


def test_show_prints_any_shelf(tmp_path: Path) -> None:
    rows = [
        {"as_of": date(2014, 6, 23), "shelf": shelf, "user_id": ME, "rank": 1, "item": "r00",
         "title": f"On {shelf} [Live] [/b]", "artist": "Flux", "score": 0.5, "model": "als", "reason": "new"}
        for shelf in ("again", "fresh", "evening")
    ]  # fmt: skip
    root = f"{tmp_path}/lake #1? 50% {{a,b}} + ü"
    write_deltalake(f"{root}/gold/recommendations", pa.Table.from_pylist(rows))
    for shelf in ("fresh", "evening"):
        shown = CliRunner().invoke(main, ["show", ME, "--shelf", shelf, "--root", root])
        assert f"On {shelf} [Live] [/b]" in shown.output
    wrong = CliRunner().invoke(main, ["show", ME, "--shelf", "morning", "--root", root])
    assert wrong.exit_code == 2
    assert "the shelves again, evening, fresh" in wrong.stderr
