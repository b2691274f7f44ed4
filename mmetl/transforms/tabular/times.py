"""Whether a text is a day or a time in ISO 8601 that comes back as it is written: as SQL."""

from __future__ import annotations

_DAY = r"\d{4}-\d\d-\d\d"
_TIME = _DAY + r"[ T]([01]\d|2[0-3]):\d\d(:\d\d(\.\d{1,6})?)?"
_ZONE = r"(Z|[+-](0\d|1[0-5])(:?[0-5]\d)?)"


def is_day(text: str) -> str:
    """Return the SQL that tells whether a text is a day of the calendar."""
    return f"regexp_full_match({text}, '{_DAY}') and try_cast({text} as date)::varchar = {text}"


def is_time(text: str) -> str:
    """Return the SQL that tells whether a text is a day with a time, to the microsecond at most."""
    return f"regexp_full_match({text}, '{_TIME}') and try_cast({text} as timestamp) is not null"


def is_zoned(text: str) -> str:
    """Return the SQL that tells whether a text is a time with its distance from UTC."""
    return f"regexp_full_match({text}, '{_TIME}{_ZONE}') and try_cast({text} as timestamptz) is not null"
