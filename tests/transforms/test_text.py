from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from musicrec.transforms.text import artist_key, artist_key_column, title_key, title_key_column

PIECES = st.sampled_from(
    ["the ", "The", " feat. ", " ft. x", " (Live)", " - 2011 Remaster", " [Mono]", " & ", " 'n' ", "R.E.M.", "lovin'",
     " Pt. ", "II", " - ", "(", ")", "é", "ﬁ", "が", "й", "हि", "ß", "İ", "!", "$", "'", "/", "n", "f.e.a.t. x"]
)  # fmt: skip
TITLES = st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=6).map("".join)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Don't Stop", "DONT STOP - 2004 Remaster"),
        ("Come Together", "Come Together - Remastered 2009"),
        ("Come Together", "Come Together (2009 - Remaster)"),
        ("Here I Go Again", "Here I Go Again - Radio Edit"),
        ("Help!", "Help! - Mono / Remastered"),
        ("Rhiannon", "Rhiannon (Single Version) [Bonus Track]"),
        ("Eye of the Tiger", 'Eye of the Tiger - From "Rocky III" Soundtrack'),
        ("Rock & Roll", "Rock 'n' Roll"),
        ("Rock and Roll", "Rock N Roll"),
        ("Another Brick in the Wall, Pt. 2", "Another Brick In The Wall (Part II)"),
        ("Café del Mar", "CAFE DEL MAR"),
        ("Lovin' You", "Loving You"),
        ("The Joker", "Joker"),
        ("I Don't Care", "I Don't Care (with Justin Bieber)"),
        ("One", "One feat. Somebody & Else"),
        ("Ｆｕｌｌ Ｗｉｄｔｈ", "full width"),
    ],
)
def test_spellings_and_marks_of_one_recording_meet(one: str, other: str) -> None:
    assert title_key(one) == title_key(other)


@pytest.mark.parametrize(
    "mark",
    ["(Live)", "- Live at Wembley", "- Acoustic", "(Demo)", "- Instrumental", "(Karaoke Version)", "(Part 1)",
     "- Kygo Remix", "- Extended Mix", "(Re-Recorded)", "- Ao Vivo", "- Reprise", "(Don't Fear)"],
)  # fmt: skip
def test_other_recordings_stay_apart(mark: str) -> None:
    assert title_key(f"Song {mark}") != title_key("Song")
    assert title_key(f"Song {mark} (2011 Remaster)") == title_key(f"Song {mark}")


def test_parts_stay_apart() -> None:
    assert len({title_key(t) for t in ("Shine On (Part 1)", "Shine On (Part 2)", "Shine On")}) == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The Beatles", "beatles"),
        ("Beatles, The", "The Beatles"),
        ("Beyoncé", "BEYONCE feat. JAY-Z"),
        ("Simon & Garfunkel", "Simon and Garfunkel"),
        ("R.E.M.", "REM"),
        ("Guns N' Roses", "Guns and Roses"),
        ("Mötley Crüe", "Motley Crue"),
        ("Sigur Rós", "sigur ros"),
        ("Ke$ha", "Kesha"),
        ("MØ", "Mo"),
    ],
)
def test_spellings_of_one_artist_meet(one: str, other: str) -> None:
    assert artist_key(one) == artist_key(other)


@pytest.mark.parametrize(
    "text", ["夜に駆ける", "Группа крови", "สวัสดี", "हिन्दी", "ﷲ", "!!!", "???", "(Live)", "The The", "-", "🎵"]
)
def test_no_script_and_no_punctuation_gives_an_empty_key(text: str) -> None:
    assert title_key(text)
    assert artist_key(text)


def test_letters_of_other_scripts_are_not_folded_together() -> None:
    assert title_key("が") != title_key("か")
    assert title_key("हिन्दी") != title_key("हन्द")
    assert title_key("!!!") != title_key("???")


def test_a_name_with_with_in_it_is_one_artist() -> None:
    assert artist_key("Sleeping with Sirens") == "sleeping with sirens"


@example("f.e.a.t. x y")
@example("a f'eat b")
@given(TITLES)
def test_a_key_is_its_own_key_and_empty_only_of_blank_text(text: str) -> None:
    for key in (title_key, artist_key):
        assert key(key(text)) == key(text)
        assert bool(key(text)) == bool(key(text).strip())
        if any(c.isalnum() for c in text):
            assert key(text)


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=8))
def test_case_does_not_matter(text: str) -> None:
    assert title_key(text.casefold()) == title_key(text)


def test_the_columns_are_the_functions(spark: SparkSession) -> None:
    texts = ["The Joker - Remastered", None, "", "夜", "The Joker - Remastered"]
    df = spark.createDataFrame([(t,) for t in texts], "t string").coalesce(1)
    rows = df.select("t", title_key_column(F.col("t")).alias("title"), artist_key_column(F.col("t")).alias("artist"))
    assert [tuple(r) for r in rows.collect()] == [
        (t, None if t is None else title_key(t), None if t is None else artist_key(t)) for t in texts
    ]
