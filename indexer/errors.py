"""What can go wrong between a corpus and its index.

IndexerError
├── CorpusMissing     the folder or manifest that should be indexed is not there
├── NothingUsable     a corpus without one usable file; carries counts by reason
├── ManifestError     a manifest that cannot be read as a table
├── PatternError      a pattern of an ignore file, --include or --exclude that means nothing
├── ShardError        a part of a corpus that is not there or empty, or an index of another
├── MergeError        indexes that cannot be made one
├── AnnotationsError  a file of annotations that cannot be read as one
├── IndexMissing      no index, or none that was ever finished
├── IndexCorrupt      the catalogue or a segment is damaged, or of a newer release
├── MapsMissing       the index does not keep the full visual maps that are asked for
├── IndexLocked       another process is writing
├── EncoderMismatch   the index was built by another encoder
├── StorageError      no permission, disk full, read-only
├── CatalogueUrlError      a URL that no catalogue can be kept at, or another than the index's own
├── CatalogueUnreachable   the server of the catalogue does not answer, or lets nobody in
└── FilterError       a `where` text that does not parse
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

REBUILD_ALL = "delete the index folder and run `retrieval build-index CORPUS`"
REBUILD_VECTORS = "run `retrieval build-index CORPUS`, which makes it anew from the segments"
ENCODE_AGAIN = (
    "its frames must be encoded again: `retrieval verify` has the command, and with --repair the "
    "index goes on without them"
)
REPAIR = "run `retrieval verify --repair`, which makes it anew from the full maps"


class IndexerError(Exception):
    """Base of every error that `indexer` raises."""


class CorpusMissing(IndexerError):
    """The folder or manifest that should be indexed is not there."""


class NothingUsable(IndexerError):
    """A corpus without one usable file.

    Parameters
    ----------
    corpus : what was looked at.
    counts : number of files by reason, such as `{"not media": 3, "empty": 1}`.
    """

    def __init__(self, corpus: Path, counts: Mapping[str, int]) -> None:
        self.counts = dict(counts)
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(self.counts.items()))
        super().__init__(
            f"{corpus}: nothing usable ({reasons or 'the folder is empty'}); "
            "give a folder with videos, pictures or sounds"
        )


class ManifestError(IndexerError):
    """A manifest that cannot be read as a table of media."""


class PatternError(IndexerError):
    """A pattern of an ignore file, `--include` or `--exclude` that means nothing."""


class ShardError(IndexerError):
    """A part of a corpus that there is not, that is empty, or an index that holds another."""


class MergeError(IndexerError):
    """Indexes that cannot be made one: of several encoders, say, or without a common folder."""


class AnnotationsError(IndexerError):
    """A file of annotations that cannot be read as one, or a folder that holds none."""


class IndexMissing(IndexerError):
    """There is no index, or none that was ever finished."""

    def __init__(self, index_dir: Path, reason: str = "no index here") -> None:
        super().__init__(f"{index_dir}: {reason}; run `retrieval build-index CORPUS`")


class BuildUnknown(IndexerError):
    """Nobody remembers how a corpus was scanned for an index: an update would scan otherwise."""

    def __init__(self, index_dir: Path, corpus: Path) -> None:
        super().__init__(
            f"{index_dir}: it does not say how {corpus} was scanned, being merged or of an earlier "
            "release; run `retrieval build-index` once as it was built, or give --manifest"
        )


class IndexCorrupt(IndexerError):
    """The catalogue or a segment is damaged, or was written by a newer release."""

    def __init__(
        self,
        path: Path,
        reason: str,
        remedy: str = REBUILD_ALL,
    ) -> None:
        super().__init__(f"{path}: {reason}; {remedy}")


class MapsMissing(IndexerError):
    """The index does not keep full visual maps, and what is asked needs them."""

    def __init__(self, index_dir: Path) -> None:
        super().__init__(
            f"{index_dir}: it keeps no full visual maps, which this needs; build it anew with "
            "`retrieval build-index CORPUS --reembed --maps full`"
        )


class IndexLocked(IndexerError):
    """Another process is writing to the index."""


class EncoderMismatch(IndexerError):
    """The index was built by another encoder; its vectors cannot be compared."""

    def __init__(self, index_dir: Path, *, built_by: str, given: str, corpus: Path | str) -> None:
        super().__init__(
            f"{index_dir}: built by encoder {built_by}, not {given}; give the one that built it "
            "with --checkpoint, or embed anew: `retrieval build-index "
            f"{quote(str(corpus))} --index {quote(str(index_dir))} --reembed` with the options of "
            "the first build"
        )


class StorageError(IndexerError):
    """The index cannot be written: no permission, disk full, read-only."""


class CatalogueUrlError(IndexerError):
    """A URL that no catalogue can be kept at, or another than the one that the index has."""


class CatalogueUnreachable(IndexerError):
    """The server that the catalogue is kept on does not answer, or lets nobody in."""


class FilterError(IndexerError):
    """A `where` text that does not parse.

    Parameters
    ----------
    text : what was given.
    position : 0-based, the character where it stops making sense.
    """

    def __init__(self, text: str, position: int, reason: str) -> None:
        self.text, self.position = text, position
        super().__init__(f"where: {reason} at character {position + 1} of {text!r}")


STORAGE_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space"),
    errno.EDQUOT: ("the disk quota is used up", "free some space"),
    errno.EFBIG: ("the file would grow past the limit set here", "raise the limit"),
    errno.EACCES: ("no permission to write", "give --index a folder that you may write to"),
    errno.EPERM: ("no permission to write", "give --index a folder that you may write to"),
    errno.EROFS: ("the file system is read-only", "give --index a folder elsewhere"),
}


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write below `path` into StorageError."""
    try:
        yield
    except OSError as error:
        reason, remedy = STORAGE_REASONS.get(
            error.errno or 0, (error.strerror or str(error), "look at the disk")
        )
        raise StorageError(
            f"{path}: {reason}; {remedy} and run the same command again: what was finished is kept"
        ) from error
