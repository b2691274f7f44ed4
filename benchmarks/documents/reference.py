"""What a store ought to hold: the documents read, split and embedded by nobody's engine.

It reads one JSON object a line, `{"docs": FOLDER, "size": CHARACTERS, "factor": NUMBER, "out": FILE}`, writes the rows of the
folder as lines (see rows.py) to the file, and answers with the number of rows and of texts. Only vectors of texts that it has
seen before are taken from memory.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from mmcommon import list_docs, raw_embed, read, split
from rows import line

OVERLAP = 100
AT_ONCE = 2048


def main() -> None:
    """Answer until the input ends."""
    known: dict[str, np.ndarray] = {}
    for asked in map(json.loads, sys.stdin):
        rows = [
            (path, number, text)
            for path, file in list_docs(asked["docs"]).items()
            for number, text in enumerate(split(read(file), asked["size"], OVERLAP))
        ]
        new = [text for text in dict.fromkeys(text for *_, text in rows) if text not in known]
        for start in range(0, len(new), AT_ONCE):
            texts = new[start : start + AT_ONCE]
            known.update(zip(texts, raw_embed(texts), strict=True))
        lines = [line(*row, known[row[2]] * np.float32(asked["factor"])) for row in rows]
        Path(asked["out"]).write_text("\n".join(sorted(lines)))
        print(json.dumps({"rows": len(rows), "texts": len({text for *_, text in rows})}), flush=True)


if __name__ == "__main__":
    main()
