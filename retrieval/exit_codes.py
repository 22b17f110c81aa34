"""What the exit code of `retrieval` says. Stable across releases; other programs read it.

| code | meaning                                                                    |
|------|----------------------------------------------------------------------------|
| 0    | done                                                                       |
| 1    | something unexpected, `doctor` found a failure, or training diverged       |
| 2    | the command line or the query does not make sense                          |
| 3    | a query file is missing or cannot be read                                  |
| 4    | the corpus is missing, or nothing in it can be used                        |
| 5    | the index is missing, damaged, out of reach, or keeps too little for this  |
| 6    | the encoder is missing, damaged, or not the one that built the index       |
| 7    | another process is writing to the index                                    |
| 8    | a file cannot be written: no permission, disk full, read-only              |
| 130  | interrupted; what was finished is kept                                     |
"""

from __future__ import annotations

from enum import IntEnum

from encoder.errors import (
    CheckpointError,
    InputError,
    MediaError,
    SandboxError,
    WeightsUnavailable,
)
from indexer.errors import (
    AnnotationsError,
    BuildUnknown,
    CatalogueUnreachable,
    CatalogueUrlError,
    CorpusMissing,
    EncoderMismatch,
    FilterError,
    IndexCorrupt,
    IndexLocked,
    IndexMissing,
    ManifestError,
    MapsMissing,
    MergeError,
    NothingUsable,
    PatternError,
    ShardError,
    StorageError,
)
from retrieval.errors import OutputExists, QueryError


class ExitCode(IntEnum):
    """The codes of the table above."""

    OK = 0
    FAILED = 1
    USAGE = 2
    QUERY_MEDIA = 3
    CORPUS = 4
    INDEX = 5
    ENCODER = 6
    LOCKED = 7
    STORAGE = 8
    INTERRUPTED = 130


Codes = tuple[tuple[type[Exception], ExitCode], ...]
CODES: Codes = (
    (QueryError, ExitCode.USAGE),
    (FilterError, ExitCode.USAGE),
    (PatternError, ExitCode.USAGE),
    (ShardError, ExitCode.USAGE),
    (CatalogueUrlError, ExitCode.USAGE),
    (InputError, ExitCode.USAGE),
    (MediaError, ExitCode.QUERY_MEDIA),
    (SandboxError, ExitCode.FAILED),
    (CorpusMissing, ExitCode.CORPUS),
    (NothingUsable, ExitCode.CORPUS),
    (ManifestError, ExitCode.CORPUS),
    (AnnotationsError, ExitCode.CORPUS),
    (BuildUnknown, ExitCode.USAGE),
    (IndexMissing, ExitCode.INDEX),
    (MergeError, ExitCode.INDEX),
    (MapsMissing, ExitCode.INDEX),
    (IndexCorrupt, ExitCode.INDEX),
    (CatalogueUnreachable, ExitCode.INDEX),
    (EncoderMismatch, ExitCode.ENCODER),
    (CheckpointError, ExitCode.ENCODER),
    (WeightsUnavailable, ExitCode.ENCODER),
    (IndexLocked, ExitCode.LOCKED),
    (StorageError, ExitCode.STORAGE),
    (OutputExists, ExitCode.STORAGE),
    (OSError, ExitCode.STORAGE),
)
"""Errors of search and indexing, the first row that fits; training has its own beside its command
(`retrieval.commands.train`)."""


def exit_code(error: BaseException, codes: Codes = CODES) -> ExitCode:
    """Return the code of an error; FAILED for one that is not in the table."""
    return next((code for kind, code in codes if isinstance(error, kind)), ExitCode.FAILED)
