"""How values are written in a catalogue: alike in every database, so that answers are, too."""

from __future__ import annotations

import json
import re
from functools import partial

to_json = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))
"""SQLite looks up keys of the metadata without undoing \\u escapes, and gives lists without spaces;
PostgreSQL gives them as they are written."""

NUMBER = r"[+-]?([0-9]{1,100}(\.[0-9]{0,100})?|\.[0-9]{1,100})([eE][+-]?[0-9]{1,2})?"
"""What text is a number: none that overflows, since PostgreSQL makes an error of that."""
WRITTEN_NUMBER = "retrieval_written_number"


def written_number(text: str | None) -> float | None:
    """Return the number that a text is; None for any other text: n/a is no number, not zero.

    Examples
    --------
    >>> written_number("4.50"), written_number("4.5 s")
    (4.5, None)
    """
    return float(text) if text is not None and re.fullmatch(NUMBER, text) else None
