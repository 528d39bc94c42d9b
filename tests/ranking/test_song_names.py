"""Songs found by what somebody types: any dash, both orders, ids in any form."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec.errors import InputError
from musicrec.ranking.song_names import SongNames
from musicrec.transforms.text import artist_key, title_key
from tests.strategies.ids import FORMS, addresses

MBID, TRACK = "e3c5e1f5-9a4c-4d5d-9f9c-0b5c8c2f8b11", "0VjIjW4GlUZAMYd2vXMi3b"
SONGS = [
    ("Boston", "More Than a Feeling"),
    ("Jay-Z", "99 Problems"),
    ("Jean-Michel Jarre", "Oxygène - Part 4"),
    ("Little Feat", "Dixie Chicken"),
    ("Europe", "Boston"),
    ("Neil Young", "Hey Hey, My My - Into the Black"),
    ("!!!", "Must Be the Moon"),
    ("Eve", "Self-Esteem"),
]
DASHES = ["-", "‐", "‑", "‒", "–", "—", "―", "−", "－", "﹣", "─", "⸺"]
NAMES = SongNames(
    titles=[title for _, title in SONGS],
    artists=[artist for artist, _ in SONGS],
    by_key={(artist_key(artist), title_key(title)): song for song, (artist, title) in enumerate(SONGS)},
    by_id={MBID: 0, TRACK: 1, "h:" + "0" * 32: 2},
    popularity=[1.0] * len(SONGS),
)


@pytest.mark.parametrize("dash", [*DASHES, "--", "——"])
@pytest.mark.parametrize("spaces", [(" ", " "), ("  ", "\u00a0"), ("\t", " "), ("\u2009", "\u2009")])
def test_artist_and_title_in_both_orders_with_any_dash_and_spaces(dash: str, spaces: tuple[str, str]) -> None:
    for song, names in enumerate(SONGS):
        for one, other in (names, names[::-1]):
            assert NAMES.find(f"{one}{spaces[0]}{dash}{spaces[1]}{other}", "--seed") == song


@pytest.mark.parametrize("dash", DASHES)
def test_a_dash_needs_no_spaces_and_titles_may_hold_one(dash: str) -> None:
    for song, (artist, title) in enumerate(SONGS):
        assert NAMES.find(f"{artist}{dash}{title}", "--seed") == song
        assert NAMES.find(f"{artist} {dash}{title}", "--seed") == song
        # The dashes within the names are other ones too.
        assert NAMES.find(f"{artist} {dash} {title}".replace("-", dash), "--seed") == song
        assert NAMES.find(title.replace("-", dash), "--seed") == song


def test_of_two_readings_artist_before_title_is_meant() -> None:
    both = SongNames(["A", "B"], ["B", "A"], {("b", "a"): 0, ("a", "b"): 1}, {}, [1.0, 1.0])
    assert [both.find(text, "--seed") for text in ("B – A", "A – B")] == [0, 1]


def test_an_id_is_found_in_any_form() -> None:
    for text in [*(form(MBID) for form in FORMS), *addresses(MBID, "recording")]:
        assert NAMES.find(text, "--seed") == 0, text
    pages = [f"https://open.spotify.com/track/{TRACK}", f"http://open.spotify.com/intl-de/track/{TRACK}/?si=1#x"]
    for text in (TRACK, f" {TRACK} ", f"spotify:track:{TRACK}", *pages):
        assert NAMES.find(text, "--seed") == 1, text
    assert NAMES.find("h:" + "0" * 32, "--seed") == 2


def test_what_is_not_known_is_an_error_with_the_nearest() -> None:
    for text, dash in itertools.product(("Bostn {} More Then a Feeling", "More Then a Feeling {} Bostn"), DASHES):
        with pytest.raises(InputError, match='nearest: "Boston - More Than a Feeling"'):
            NAMES.find(text.format(dash), "--seed")


@given(
    st.one_of(
        st.text(), st.lists(st.sampled_from([*DASHES, " ", "Boston", "Jay-Z", "!!!", ":"]), max_size=6).map("".join)
    )
)
def test_any_text_is_a_song_or_an_error(text: str) -> None:
    try:
        song = NAMES.find(text, "--seed")
    except InputError:
        return
    assert 0 <= song < len(SONGS)
