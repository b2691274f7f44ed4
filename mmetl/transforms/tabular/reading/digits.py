"""Whether a number that is written as text comes back from a float with the digits that it has."""

from __future__ import annotations

# The digits that a number stands for, without zeros around them: as the file has them, and as a float gives them back.
_DIGITS = "trim(replace(regexp_replace({c}, '[eE].*|-', '', 'g'), '.', ''), '0')"
_BACK = (
    "trim(replace(split_part(format(case when length({d}) <= 15 then '{:.14e}' when length({d}) = 16 then '{:.15e}'"
    " else '{:.16e}' end, abs({c}::double)), 'e', 1), '.', ''), '0')"
)
# Up to 15 digits always come back, unless the number is too large or too small; up to 17 may. The cheap tests come first.
_KEEPS = (
    "case when length({c}) <= 15 and not contains({c}, 'e') and not contains({c}, 'E') then true"
    f" when {{c}}::double::varchar = {{c}} then true else {_BACK.replace('{d}', _DIGITS)} = {_DIGITS} end"
)


def keeps(text: str) -> str:
    """Return the SQL that tells whether a text, which is a number, keeps its digits as DOUBLE."""
    return _KEEPS.replace("{c}", text)
