"""What can go wrong with a question.

RetrievalError
├── QueryError     the question cannot be asked in this form; the message says what to give
└── OutputExists   a file that a query would write is there already
"""

from __future__ import annotations

from encoder.errors import EncoderError
from indexer.errors import IndexerError


class RetrievalError(Exception):
    """Base of every error that `retrieval` raises itself."""


class QueryError(RetrievalError):
    """The inputs and options of a query do not go together."""


class OutputExists(RetrievalError):
    """A copy would replace a file that is already there."""


KNOWN_ERRORS = (RetrievalError, IndexerError, EncoderError, OSError)
"""Errors whose message is one line for a person; anything else is a defect of this program."""


def one_line(error: BaseException) -> str:
    """Return an error's message on a single line, its file first where the system names one."""
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename is not None else ""
        return f"{name}{error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
