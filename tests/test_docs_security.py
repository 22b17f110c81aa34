"""docs/security.md tells what is there: every code of a failure, and the limits as they are."""

from __future__ import annotations

import re
from pathlib import Path

from encoder.errors import MEDIA_CODES
from encoder.media import MediaLimits
from indexer.plan import OWN_CODES
from indexer.where import MAX_TOKENS

TEXT = (Path(__file__).parents[1] / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_code_of_a_failure_is_told() -> None:
    listed = dict(re.findall(r"^\| (\S+) \| (.+) \|$", TEXT.split("## Codes of failures")[1], re.M))
    del listed["code"]
    assert listed == MEDIA_CODES | OWN_CODES


def test_limits_are_told_as_they_are() -> None:
    limits = MediaLimits()
    assert f"{limits.max_memory_bytes >> 30} GiB of address space" in TEXT
    assert f"has {limits.timeout_s:.0f} s for one picture" in TEXT
    assert f"larger than {limits.max_bytes >> 30} GiB" in TEXT
    assert f"more than {limits.max_pixels // 10**6} million pixels" in TEXT
    assert f"more than {limits.max_seconds / 3600:.0f} hours" in TEXT
    assert f"more than {MAX_TOKENS} words and signs" in TEXT
