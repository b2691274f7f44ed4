"""Names as they are compared: in one spelling, and by how much two of them are alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmetl.engines.packages import require

if TYPE_CHECKING:
    import numpy as np

    Scores = np.ndarray[Any, np.dtype[np.float64]]

Measure = Literal["words", "edit", "jaro_winkler", "word_set"]
MEASURES = (
    "words: by the letters that two names share in order, whatever the order of their words; edit: the same with the words as they"
    " stand; jaro_winkler: first letters count for more; word_set: words that only one has do not count"
)
DIGITS = 4
"""Of a similarity: what is shown is what decides."""

_WORD = re.compile(r"\w+")
_BARE = str.maketrans(
    {"Ł": "L", "ł": "l", "Ø": "O", "ø": "o", "Đ": "D", "đ": "d", "Æ": "AE", "æ": "ae", "Œ": "OE", "œ": "oe"}
    | {"Þ": "Th", "þ": "th", "Ð": "D", "ð": "d", "Ħ": "H", "ħ": "h", "\N{LATIN SMALL LETTER DOTLESS I}": "i"}
)
"""Letters that Unicode does not take apart into a plain one and an accent."""


class Spelling(BaseModel):
    """Params that say which differences between two names are none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ignore_case: bool = Field(True, description="whether `ADA` is `Ada`")
    ignore_accents: bool = Field(True, description="whether `Łukasz` is `Lukasz`")
    ignore_punctuation: bool = Field(True, description="whether `Lovelace, Ada` is `Lovelace Ada`")


def written(text: str) -> str:
    """Return a name as it is written: in one form of Unicode, its white space in order."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def spelled(text: str, spelling: Spelling) -> str:
    """Return what makes two names equal; an empty text for a blank one.

    >>> spelled(" Löwis,  Martin v. ", Spelling()), spelled("--", Spelling())
    ('lowis martin v', '--')
    """
    plain = unicodedata.normalize("NFKC", text)
    if spelling.ignore_accents:
        apart = unicodedata.normalize("NFKD", plain.translate(_BARE))
        plain = unicodedata.normalize("NFC", "".join(c for c in apart if not unicodedata.combining(c)))
    if spelling.ignore_case:
        plain = plain.casefold()
    whole = " ".join(plain.split())
    return (" ".join(_WORD.findall(plain)) or whole) if spelling.ignore_punctuation else whole


def similarities(measure: Measure, left: Sequence[str], right: Sequence[str]) -> Scores:
    """Return for each pair of names, none of them empty, how alike they are: from 0 to 1.

    Raises:
        MissingError: if the package is not installed.
    """
    import numpy as np

    require("entities", "rapidfuzz")
    from rapidfuzz import fuzz, process
    from rapidfuzz.distance import JaroWinkler

    def of(scorer: Callable[..., Any], whole: float) -> Scores:
        found = process.cpdist(left, right, scorer=scorer, dtype=np.float64, workers=1)
        return np.round(np.asarray(found, np.float64) / whole, DIGITS)

    if measure == "jaro_winkler":
        return of(JaroWinkler.normalized_similarity, 1)
    if measure == "word_set":
        return of(fuzz.token_set_ratio, 100)
    edit = of(fuzz.ratio, 100)
    # A wrong first letter moves a word to another place when words are sorted: either order may be the better one.
    return np.maximum(edit, of(fuzz.token_sort_ratio, 100)) if measure == "words" else edit
