"""What an index was built with, kept beside it: so that an update looks at the corpus likewise."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select, update

from indexer.catalogue import meta
from indexer.errors import ShardError
from indexer.options import BuildOptions
from indexer.paths import from_text, to_text
from indexer.sharding import Shard

KEY = "built_with"


@dataclass(frozen=True, kw_only=True)
class BuiltWith:
    """The options of a build that decide which items there are.

    Attributes
    ----------
    manifest : relative to the corpus, in the text form of `indexer.paths`; None for a folder.
    shard : such as `2/8`, None for the whole corpus.
    """

    manifest: str | None
    window_s: float
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    follow_symlinks: bool = False
    shard: str | None = None

    @classmethod
    def of(cls, corpus: Path, manifest: Path | None, options: BuildOptions) -> BuiltWith:
        """Return what is to be remembered of a build; `corpus` is absolute, without links."""
        return cls(
            manifest=to_text(os.path.relpath(manifest.resolve(), corpus)) if manifest else None,
            window_s=options.window_s,
            include=options.include,
            exclude=options.exclude,
            follow_symlinks=options.follow_symlinks,
            shard=str(options.shard) if options.shard else None,
        )

    def again(self, options: BuildOptions) -> BuildOptions:
        """Return options under which a scan finds the same items; the others stay as given."""
        return replace(
            options,
            window_s=self.window_s,
            include=self.include,
            exclude=self.exclude,
            follow_symlinks=self.follow_symlinks,
            shard=Shard.parse(self.shard) if self.shard else None,
        )

    def manifest_in(self, corpus: Path) -> Path | None:
        """Return where the manifest is, None for a folder."""
        return None if self.manifest is None else corpus / from_text(self.manifest)


def remember(connection: Connection, built: BuiltWith) -> None:
    """Record what the index is built with from here on.

    Raises
    ------
    ShardError : it holds another part of the corpus than is asked for now.
    """
    before = remembered(connection)
    if before and built.shard and before.shard != built.shard:
        held = f"shard {before.shard}" if before.shard else "the whole corpus"
        raise ShardError(
            f"shard {built.shard}: the index holds {held}; give each shard an index of its own"
        )
    value: dict[str, Any] = asdict(built)
    changed = connection.execute(update(meta).where(meta.c.key == KEY).values(value=value))
    if not changed.rowcount:
        connection.execute(meta.insert(), {"key": KEY, "value": value})


def remembered(connection: Connection) -> BuiltWith | None:
    """Return what an index was built with, None where an older release built it."""
    value = connection.scalar(select(meta.c.value).where(meta.c.key == KEY))
    if value is None:
        return None
    lists = {name: tuple(value[name]) for name in ("include", "exclude")}
    return BuiltWith(**value | lists)


def of_all(built: Sequence[BuiltWith | None], *, is_moved: bool) -> BuiltWith | None:
    """Return what an index merged from several is built with; None where no options say it.

    Parameters
    ----------
    is_moved : their corpora are different folders of the merged one.
    """
    known = [one for one in built if one is not None]
    alike = {replace(one, shard=None) for one in known}
    if len(known) < len(built) or len(alike) != 1:
        return None
    (whole,) = alike
    shards = {one.shard for one in known}
    if is_moved:
        named = whole.manifest or whole.include or whole.exclude  # these are told from each corpus
        return None if named or shards != {None} else whole
    if len(shards) == 1:
        return known[0]
    total = max(int(shard.split("/")[1]) for shard in shards if shard)
    complete = shards >= {f"{number}/{total}" for number in range(1, total + 1)}
    return whole if complete or None in shards else None
