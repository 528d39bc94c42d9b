from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from musicrec.transforms.folding import seen
from musicrec.transforms.marks import guests
from musicrec.transforms.text import artist_key, artist_key_column, title_key, title_key_column
from tests.strategies.names import APOSTROPHES, HYPHENS, SPACES, UNSEEN, names, spelt_twice

KEYS = (title_key, artist_key)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Don't Stop", "DONT STOP - 2004 Remaster"),
        ("Come Together", "Come Together - Remastered 2009"),
        ("Come Together", "Come Together (2009 - Remaster)"),
        ("Here I Go Again", "Here I Go Again - Radio Edit"),
        ("Help!", "Help! - Mono / Remastered"),
        ("Rhiannon", "Rhiannon (Single Version) [Bonus Track]"),
        ("Rhiannon", "Rhiannon [Bonus Track #2]"),
        ("Eye of the Tiger", 'Eye of the Tiger - From "Rocky III" Soundtrack'),
        ("Eye of the Tiger", "Eye of the Tiger (From “Rocky III”)"),
        ("Chinese Rocks", "Chinese Rocks (7” Version)"),
        ("Rock & Roll", "Rock 'n' Roll"),
        ("Rock and Roll", "Rock N Roll"),
        ("Rock and Roll", "Rock ‘n’ Roll"),
        ("Another Brick in the Wall, Pt. 2", "Another Brick In The Wall (Part II)"),
        ("Café del Mar", "CAFE DEL MAR"),
        ("Lovin' You", "Loving You"),
        ("The Joker", "Joker"),
        ("I Don't Care", "I Don't Care (with Justin Bieber)"),
        ("One", "One feat. Somebody & Else"),
        ("Light It Up - Remix", "Light It Up (feat. Nyla & Fuse ODG [Remix])"),
        ("Stand Up", "Stand Up (feat. The Underdogs (UK) & Co"),
        ("Ｆｕｌｌ Ｗｉｄｔｈ", "full width"),
        ("C♯ minor", "C# Minor"),
        ("C♯ minor", "C-sharp minor"),
        ("B♭ Major", "B flat major"),
        ("#9 Dream", "Number 9 Dream"),
        ("Engine № 9", "Engine #9"),
        ("Malambo N°1", "Malambo No. 1"),
        ("100%", "100 Percent"),
        ("Live @ Wembley", "Live at Wembley"),
        ("I ♥ U", "I♥U"),
        ("Ain´t", "Ain`t"),
        ("ﬁreﬂy", "Firefly"),
        ("Straße", "STRASSE"),
        ("İstanbul", "istanbul"),
        ("Ayrılık", "AYRILIK"),
        ("مُحَمَّد", "محمد"),
        ("שָׁלוֹם", "שלום"),
        ("می\u200cخواهم", "میخواهم"),
        ("10½", "10 1/2"),
        ("Atom™", "Atom"),
        ("Song【feat. Somebody】", "Song"),
        ("Song〔2011 Remaster〕", "Song"),
        ("٣ دقات", "3 دقات"),
        ("Part ३", "Part 3"),
        ("Take \t\n  Me\u3000 On", "Take Me On"),
        ("−1", "-1"),
    ],
)
def test_spellings_and_marks_of_one_recording_meet(one: str, other: str) -> None:
    assert title_key(one) == title_key(other)


@pytest.mark.parametrize(
    "mark",
    ["(Live)", "- Live at Wembley", "- Acoustic", "(Demo)", "- Instrumental", "(Karaoke Version)", "(Part 1)",
     "- Kygo Remix", "- Extended Mix", "(Re-Recorded)", "- Ao Vivo", "- Reprise", "(Don't Fear)", "(With You)",
     "(with your love)", "(With or Without You)", "#2", "100%", "♥", "in C♯", "& Co"],
)  # fmt: skip
def test_other_recordings_stay_apart(mark: str) -> None:
    assert title_key(f"Song {mark}") != title_key("Song")
    assert title_key(f"Song {mark} (2011 Remaster)") == title_key(f"Song {mark}")


def test_parts_stay_apart() -> None:
    assert len({title_key(t) for t in ("Shine On (Part 1)", "Shine On (Part 2)", "Shine On")}) == 3


@pytest.mark.parametrize(
    "apart",
    [
        ("☀️", "❤️", "☀️☀️", "★", "♪"),
        ("C♯ minor", "C minor", "C♭ minor", "C♮ minor"),
        ("B♭ Major", "B Major"),
        ("C#", "C", "C♮"),
        ("Sol# mineur", "Sol mineur", "Sol♭ mineur"),
        ("Song <3", "Song </3", "Song 3"),
        ("<3", "3", "< 4"),
        ("I <3 You", "I 3 You", "I You"),
        ("100%", "100", "$100", "100°"),
        ("#1", "1", "+1"),
        ("+", "÷", "×", "=", "−", "&", "$", "%", "?", "!", "...", "And"),
        ("A+", "A", "A♭"),
        ("Song 🔥", "Song 💔", "Song"),
        ("!!!", "???", "¡¡¡"),
        ("Love > Hate", "Love Hate"),
        ("100‰", "100%", "100"),
        ("-1", "1", "+1"),
        ("Smile :)", "Smile :(", "Smile ;)", "Smile"),
        (":)", ":("),
        ("\u0301", "\u0302"),
    ],
)
def test_symbols_that_mean_something_keep_titles_and_artists_apart(apart: tuple[str, ...]) -> None:
    for key in KEYS:
        assert len({key(text) for text in apart}) == len(apart), [key(text) for text in apart]


def test_a_title_of_a_symbol_stays_it_when_its_marks_go() -> None:
    assert [title_key(f"{symbol} (Deluxe)") for symbol in ("÷", "×", "=", "...", "")] == [
        "÷",
        "×",
        "=",
        "...",
        "deluxe",
    ]


@pytest.mark.parametrize(
    "name",
    ["Little Feat", "No Small Feat", "A Small Feat", "Feat", "Feat.", "What a Feat!", "Featuring", "Songs Featuring",
     "Ft. Worth Blues", "Goodnight Ft. Worth", "Meet Me in Ft. Lauderdale", "10 Ft. Tall", "33 000 FT.",
     "Feat. of Clay", "A Feat of Strength", "With", "With You", "Ft.", "Feats Don't Fail Me Now",
     "Little Feat & Friends", "Little Feat Tribute Band", "No Small Feat Band", "A Feat Worth Doing",
     "No Mean Feat Today", "What a Feat It Was"],
)  # fmt: skip
def test_a_name_keeps_the_words_that_mark_guests_where_none_is_named(name: str) -> None:
    for key in KEYS:
        words = seen(name).casefold().replace(".", "").replace("!", "").replace("'", "").replace("&", "and")
        assert key(name) == words
        assert guests(name.casefold()) == []
        assert len({key(name), key(f"{name} (Live)"), key(f"{name} (Remix)")}) == 3
        for mention in (" (feat. Somebody)", " feat. Somebody", " ft. Somebody & Else", " [Featuring Somebody]"):
            assert key(name + mention) == key(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The Beatles", "beatles"),
        ("Beatles, The", "The Beatles"),
        ("Beyoncé", "BEYONCE feat. JAY-Z"),
        ("Simon & Garfunkel", "Simon and Garfunkel"),
        ("Florence + The Machine", "Florence & the Machine"),
        ("(+44)", "Plus 44"),
        ("R.E.M.", "REM"),
        ("Guns N' Roses", "Guns and Roses"),
        ("Mötley Crüe", "Motley Crue"),
        ("Sigur Rós", "sigur ros"),
        ("Ke$ha", "Kesha"),
        ("Joey Bada$$", "Joey Badass"),
        ("P!nk", "Pink"),
        ("MØ", "Mo"),
        ("Dal★Shabet", "Dal Shabet"),
        ("98°", "98º"),
        ("Little Feat featuring Bonnie Raitt", "Little Feat"),
        ("!!! feat. Somebody", "!!!"),
        ("Tallak feat,Viv Gee", "Tallak"),
        ("Beyon\u00adcé", "Beyonce\u0301"),
        ("한국", unicodedata.normalize("NFD", "한국")),
    ],
)
def test_spellings_of_one_artist_meet(one: str, other: str) -> None:
    assert artist_key(one) == artist_key(other)


@pytest.mark.parametrize(
    "text",
    [
        "夜に駆ける",
        "Группа крови",
        "สวัสดี",
        "हिन्दी",
        "ﷲ",
        "!!!",
        "???",
        "(Live)",
        "The The",
        "-",
        "🎵",
        "\u0301",
        "´",
        "+",
        "\ue000",
    ],
)
def test_no_script_and_no_punctuation_gives_an_empty_key(text: str) -> None:
    assert title_key(text)
    assert artist_key(text)


@pytest.mark.parametrize("text", ["", " ", "\u200b\ufeff", "\u00ad\u2060", "\ufe0f", "\u3164", "\u2800 \u00a0", "\x00"])
def test_a_text_that_shows_nothing_has_no_key(text: str) -> None:
    assert (title_key(text), artist_key(text)) == ("", "")


def test_letters_of_other_scripts_are_not_folded_together() -> None:
    assert title_key("が") != title_key("か")
    assert title_key("हिन्दी") != title_key("हन्द")
    assert title_key("!!!") != title_key("???")
    assert title_key("ؤ") != title_key("و")


def test_a_name_with_with_in_it_is_one_artist() -> None:
    assert artist_key("Sleeping with Sirens") == "sleeping with sirens"


@pytest.mark.parametrize("key", KEYS)
def test_every_hyphen_apostrophe_and_space_is_one(key: object) -> None:
    assert callable(key)
    assert len({key(f"Don{mark}t Stop (Live)") for mark in ["'", "", *APOSTROPHES]}) == 1
    assert len({key(f"Re{mark}Birth - Mono") for mark in ["-", " ", *HYPHENS]}) == 1
    assert len({key(f"Birth {mark} Mono") for mark in ["-", *HYPHENS]}) == 1
    assert len({key(f"Two{mark}Words") for mark in [" ", *SPACES]}) == 1
    assert len({key(f"Two Wo{mark}rds") for mark in ["", *UNSEEN]}) == 1


@given(spelt_twice())
def test_what_nobody_sees_and_how_letters_are_composed_change_no_key(drawn: tuple[str, str]) -> None:
    for key in KEYS:
        assert key(drawn[0]) == key(drawn[1])


@example("f.e.a.t. x y")
@example("a f'eat b")
@example("No Small Feat (Live)")
@example("a <<b>> c")
@given(names())
def test_a_key_is_its_own_key_and_empty_only_of_text_that_shows_nothing(text: str) -> None:
    for key in KEYS:
        assert key(key(text)) == key(text)
        assert bool(key(text)) == bool(seen(text))


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=8))
def test_case_does_not_matter(text: str) -> None:
    assert title_key(text.casefold()) == title_key(text)


def test_the_columns_are_the_functions(spark: SparkSession) -> None:
    texts = ["The Joker - Remastered", None, "", "夜", "The Joker - Remastered"]
    df = spark.createDataFrame([(t,) for t in texts], "t string").coalesce(1)
    rows = df.select("t", title_key_column(F.col("t")).alias("title"), artist_key_column(F.col("t")).alias("artist"))
    assert [tuple(r) for r in rows.collect()] == [
        (t, None if t is None else title_key(t), None if t is None else artist_key(t)) for t in texts
    ]
