"""What is one letter and one word whatever the spelling: the folding under the keys of names (decision 0003)."""

from __future__ import annotations

import re
import sys
import unicodedata

# What a text shows nothing of: Unicode's Default_Ignorable_Code_Point (soft hyphens, joiners, marks of direction,
# variation selectors, tags, Hangul fillers), the marks of interlinear notes, and control characters.
_UNSEEN_RANGES = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
_CONTROLS = [code for code in (*range(0x20), *range(0x7F, 0xA0)) if not chr(code).isspace()]
UNSEEN = "".join(map(chr, [*_CONTROLS, *(code for first, last in _UNSEEN_RANGES for code in range(first, last + 1))]))
# All that Unicode calls white space, and the cell of Braille without a dot.
WHITE = "".join(c for c in map(chr, range(sys.maxunicode + 1)) if c.isspace()) + "\u2800"
# What may be cut off the ends of a text: of what is not seen, joiners, selectors and tags are part of a last letter
# or picture.
BLANKS = WHITE + "".join(c for c in UNSEEN if c != "\u200d" and not "\ufe00" <= c <= "\ufe0f" and c < "\U000e0000")

# Letters that Unicode does not decompose, the signs that stand for an apostrophe, a quotation mark, a hyphen, a stroke
# or a bracket, and those that mean nothing.
_SAME: dict[str, str] = {
    "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D",
    "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i", "º": "°", "№": "#", "∆": "Δ", "\u2800": " ",
    **dict.fromkeys("´`‘’‛′‵ʹʻʼʽʾʿˈˊˋ՚׳ꞌ＇｀\u02c0\u02c1\u0384\u0559\u07f4\u07f5\u1fbd\u1fbf\u1ffd\u1ffe", "'"),
    **dict.fromkeys("“”„‟″‶〝〞〟״\u02ba\u02ee", '"'),
    **dict.fromkeys("‐‑‒–—―−⸺⸻﹘﹣－─", "-"),
    **dict.fromkeys("⁄∕⧸", "/"),
    **dict.fromkeys("∗⁎", "*"),
    **dict.fromkeys("∙⋅", "·"),
    **dict.fromkeys("【〔〖〘〚⟦❨❪❬❲", "["),
    **dict.fromkeys("】〕〗〙〛⟧❩❫❭❳", "]"),
    "∶": ":", "∣": "|", "∼": "~", "٪": "%",
    **dict.fromkeys("™℠©®℗", " "),
    **{mark: f" {unicodedata.normalize('NFKC', mark).replace(chr(0x2044), '/')} " for mark in "¼½¾⅓⅔⅛⅜⅝⅞"},
}  # fmt: skip
_DIGITS = {code: str(unicodedata.decimal(chr(code))) for code in range(0x80, 0x20000) if chr(code).isdecimal()}
_LETTERS = _DIGITS | {ord(one): other for one, other in _SAME.items()} | dict.fromkeys(map(ord, UNSEEN))

# The pattern of a text that shows nothing, in Python's and in Java's regular expressions.
BLANK = f"^[{WHITE}{''.join(c for c in UNSEEN if c < chr(0xE0000))}\U000e0000-\U000e0fff]*$"
_SHOWN = dict.fromkeys(map(ord, UNSEEN)) | {0x2800: " "}

# Latin, Greek and Cyrillic accents, and the points that Arabic and Hebrew do without. The marks of other scripts are
# letters of their own (が, Thai and Indic vowels).
_ACCENTS = re.compile(
    "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f"
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u0652\u0656-\u065f\u0670]"
)

_LATIN = re.compile(r"[a-z0-9 ]*")
LETTER = re.compile(r"[^\W_]")
_AND = re.compile(r"\s*'n'\s*|&")
_JOINING_PLUS = re.compile(r"""(?<=[\w)\]}.!?'"])\s*\+\s*(?=[\w(\[{$#'"])""")  # "2Pac + Outlawz", but not "+44", "A+"
_CLIPPED = re.compile(r"(?<!')\b(\w+in)'(?!\w)")  # "lovin'", but not a word in quotes
_ACRONYM = re.compile(r"(?<!\w)(?:\w\.){2,}\w?(?!\w)")
_SYMBOL_S = re.compile(r"\$+(?=[^\W\d_])|(?<=[^\W\d_])\$+")  # "Ke$ha", but not "$100"
_SYMBOL_I = re.compile(r"(?<=\w)!(?=\w)")
_SHARP = re.compile(r"\b([a-g])#(?!\d)|(?<=[^\W\d_])#(?!\w|\s*\d)")
_NUMBER = re.compile(r"#\s*(?=\d)|\bn°")
_DEGREES = re.compile(r"(?<=\d)\s*°")
_AT = re.compile(r"(?<!\S)@(?=\s)")
_MINUS = re.compile(r"^-(?=\d)")  # of a text that begins with a number below 0
_FACES = {re.compile(rf"(?<!\S){eyes}-?[{mouth}](?!\S)"): f" {face} " for eyes, mouth, face in (
    ("[:=]", r")\]", "🙂"), ("[:=]", r"(\[", "🙁"), (";", r")\]", "😉"))}  # fmt: skip
_ANGLES = re.compile(r"<(?!3\b)([^<>]*[^\W_][^<>]*)>")
# Signs that only part or adorn words; other symbols are words of their own.
_ORNAMENTS = frozenset("|¦~°=★☆✰♩♪♫♬\ufffc\ufffd")


class _Separated(dict[int, str]):
    """What stands for a character between words: letters for themselves, punctuation for a space, a symbol alone."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)
        if character.isalnum() or kind[0] == "M":
            found = character
        elif kind[0] != "S" or kind == "Sk" or character in _ORNAMENTS:
            found = " "
        else:
            found = f" {character} "
        self[code] = found
        return found


_SEPARATED = _Separated(
    {
        ord("%"): " percent ",
        ord("‰"): " permille ",
        ord("♯"): " sharp ",
        ord("♭"): " flat ",
        ord("♮"): " natural ",
        ord("×"): " x ",
    }
)


def seen(text: str) -> str:
    """A text without what it shows nothing of, composed (NFC), its white space as single spaces; blank text is empty.

    >>> seen("Beyon\\u00adce\\u0301"), seen(" \\u200b\\ufeff")
    ('Beyoncé', '')
    """
    shown = text.translate(_SHOWN) if not text.isascii() or not text.isprintable() else text
    return " ".join(unicodedata.normalize("NFC", shown).split())


def fold(text: str) -> str:
    """Case, accents, width, blanks, apostrophes, quotes and hyphens folded; other punctuation is still there."""
    if text.isascii() and text.isprintable():
        lower = text.lower().replace("`", "'")
        return " ".join(lower.split()) if "  " in lower else lower
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS)).casefold()
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", decomposed).translate(_LETTERS))
    return " ".join(unicodedata.normalize("NFC", bare).split())


def words(folded: str) -> list[str]:
    """The words of a folded text; punctuation separates, and symbols are words.

    "&" and "'n'" are "and", as is a "+" between two; "lovin'" is "loving", acronyms lose their dots. "C♯" and "C#" are
    "c sharp", "#1" and "№ 1" are "no 1", "100%" is "100 percent", "98°" is "98 degrees". A text without a letter or
    digit has no words to tell it by.
    """
    text = folded if _LATIN.fullmatch(folded) else _spelt_out(folded).translate(_SEPARATED)
    found = text.split()
    if "n" not in found:
        return found
    return ["and" if word == "n" and 0 < place < len(found) - 1 else word for place, word in enumerate(found)]


def _faced(text: str) -> str:
    """Faces of punctuation as symbols: "Smile :)" is not "Smile :("."""
    if ":" in text or ";" in text or "=" in text:
        for written, face in _FACES.items():
            text = written.sub(face, text)
    return text


def _spelt_out(folded: str) -> str:
    """Signs as the words that they stand for; apostrophes and the dots of acronyms gone."""
    text = _faced(_AND.sub(" and ", _MINUS.sub("minus ", folded)))
    if "+" in text:
        text = _JOINING_PLUS.sub(" and ", text).replace("+", " plus ")
    if "'" in text:
        text = _CLIPPED.sub(r"\1g", text).replace("'", "")
    if "." in text:
        text = _ACRONYM.sub(lambda match: match[0].replace(".", ""), text)
    if "$" in text:
        text = _SYMBOL_S.sub(lambda match: "s" * len(match[0]), text)
    if "!" in text:
        text = _SYMBOL_I.sub("i", text)
    if "#" in text or "°" in text:
        text = _DEGREES.sub(" degrees ", _NUMBER.sub(" no ", _SHARP.sub(r"\1 sharp ", text)))
    if "@" in text:
        text = _AT.sub(" at ", text)
    return _ANGLES.sub(r" \1 ", text.replace("</3", " 💔 ")) if "<" in text else text
