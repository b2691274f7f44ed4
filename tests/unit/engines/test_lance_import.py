"""LanceDB is imported without the schemas of a client that nobody calls; they are made when somebody does."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

from harness import lacking

SCRIPT = """
import overrides
import pydantic
before = pydantic.validate_call, overrides.override
from mmetl.engines.lance_import import require_lancedb
lancedb = require_lancedb()
assert (pydantic.validate_call, overrides.override) == before
assert require_lancedb() is lancedb
assert lancedb.db.LanceDBConnection.__mro__[1] is lancedb.db.DBConnection
from lance_namespace_urllib3_client.api.table_api import TableApi
assert TableApi.count_table_rows.__name__ == "count_table_rows"
for wrong in ((), ("name", 5)):
    try:
        TableApi().count_table_rows(*wrong)
    except pydantic.ValidationError as error:
        print(error.error_count(), error.errors()[0]["type"])
"""


def test_arguments_are_still_checked():
    if importlib.util.find_spec("lancedb") is None:
        lacking("lancedb is not installed")
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["2 missing_argument", "1 model_type"]
