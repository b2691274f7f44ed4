"""Which language a text is in: a check of it is a function that DuckDB calls in the scan that all checks share."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import pyarrow as pa

from mmetl.checks.rules import Rule, of_rows
from mmetl.config.checks import MIN_CONFIDENCE
from mmetl.engines.duckdb import Session
from mmetl.engines.packages import require
from mmetl.errors import TaskError
from mmetl.utils.text import near, quote

LOOKED_AT = 10_000
"""Characters of a text that are looked at: more would not tell more."""

_LOADING = threading.Lock()


def put_language(rule: Rule, number: int, db: Session) -> Rule:
    """Let a session know which texts are in another language, and return the rule with the rows that it refuses.

    Args:
        rule: of a check `language`.
        number: of the rule among those of the table.
        db: the session.

    Raises:
        MissingError: if the package that knows languages is not installed.
        TaskError: if it does not know one that the check names.
    """
    require("language", "py3langid")
    with _LOADING:
        detector = _detector()
    wanted, least = frozenset(rule.said["languages"]), rule.said.get("min_confidence", MIN_CONFIDENCE)
    for language in rule.said["languages"]:
        if language not in detector.labels:
            close = near(language, detector.labels)
            raise TaskError(
                f"check {rule.label}: the language '{language}' is not known",
                help=f"did you mean '{close}'?" if close else f"known are {', '.join(sorted(detector.labels))}",
            )

    def other(text: str) -> bool:
        language, confidence = detector.classify(text[:LOOKED_AT])
        return language not in wanted and confidence >= least

    def others(texts: pa.ChunkedArray) -> pa.Array:
        return pa.array([other(text) for text in texts.to_pylist()], pa.bool_())

    name = f"__mmetl_other_language_{number}"
    db.add_function(name, others, ["VARCHAR"], "BOOLEAN")
    return of_rows(rule, f"{name}({quote(rule.said['column'])}::varchar)")


@cache
def _detector() -> Any:
    """Return the model, which ships in the package; it takes half a second to load."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
