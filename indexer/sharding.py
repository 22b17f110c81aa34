"""One of n parts of a corpus, the same on every machine; what shares a file stays together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from indexer.errors import ShardError
from indexer.plan import PlannedItem

FOLDER = ".retrieval-shards"


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Part `number` of `total`, from 1."""

    number: int
    total: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.total:
            raise ShardError(f"shard {self}: parts are numbered from 1 to {self.total}")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `2/8`; raises ShardError.

        Examples
        --------
        >>> Shard.parse("2/8").folder
        '.retrieval-shards/2-of-8'
        """
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if found is None:
            raise ShardError(f"shard {text!r}: write it as part/parts, such as 2/8")
        return cls(number=int(found[1]), total=int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"

    @property
    def folder(self) -> str:
        """Where its index goes, below the corpus."""
        return f"{FOLDER}/{self.number}-of-{self.total}"

    def holds(self, group: str) -> bool:
        """Say whether a group of items is in this part: by a digest of its name."""
        digest = blake2b(group.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.total == self.number - 1


def items_of(shard: Shard, items: Sequence[PlannedItem]) -> list[PlannedItem]:
    """Return the items of one part, in their order.

    Items that share a file, directly or through others, are in the same part, so that nothing is
    embedded twice. Which part that is depends on the first of their paths alone.
    """
    files = [_files(item) for item in items]
    first = _first_of_groups(files)
    return [item for item, paths in zip(items, files, strict=True) if shard.holds(first[paths[0]])]


def _files(item: PlannedItem) -> list[str]:
    """Return what ties an item to others; an unusable one goes by what failed."""
    used = [part.source.path for part in item.parts]
    return used or [failure.path for failure in item.failures] or [item.key]


def _first_of_groups(files: Iterable[list[str]]) -> dict[str, str]:
    """Return for each path the first, by name, of those it is tied to (union-find)."""
    above: dict[str, str] = {}

    def first(path: str) -> str:
        while above.setdefault(path, path) != path:
            above[path] = path = above[above[path]]
        return path

    for paths in files:
        for path in paths:
            ends = sorted((first(paths[0]), first(path)))
            above[ends[1]] = ends[0]
    return {path: first(path) for path in list(above)}
