"""What can go wrong with labels of items.

IndexerError
└── LabelError
    ├── LabelsMissing      the index has no labels of that provider; names the command
    ├── LabelColumnError   no item has that column, or its values are no labels
    ├── LabelFileError     a file of labels that cannot be read, or a row that cannot be right
    ├── VocabulariesMixed  labels of two vocabularies would stand in one set
    ├── LabellerBroken     a labeller says what its vocabulary does not hold
    └── NothingLabelled    not one frame or sound got a label; carries counts by reason
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote

from indexer.errors import IndexerError


class LabelError(IndexerError):
    """Base of every error of `indexer.labels`."""


class LabelsMissing(LabelError):
    """The index has no labels of that provider, or not of that version.

    Parameters
    ----------
    there : the sets that the index has, by name.
    """

    def __init__(
        self, index_dir: Path, provider: str, version: str | None = None, *, there: Sequence[str]
    ) -> None:
        wanted = provider if version is None else f"{provider} of version {version}"
        known = f"there are {', '.join(sorted(set(there)))}" if there else "there are none yet"
        super().__init__(
            f"{index_dir}: no labels by {wanted}; {known}; run `retrieval label "
            f"{quote(str(index_dir))} {_options(provider)}`"
        )


class LabelColumnError(LabelError):
    """A column of the manifest that cannot serve as labels."""


class LabelFileError(LabelError):
    """A file of labels that cannot be read, or a row of it that cannot be right."""


class VocabulariesMixed(LabelError):
    """Labels of two vocabularies would stand in one set, where they could be compared."""


class LabellerBroken(LabelError):
    """A labeller gave another number of labels, or one that its vocabulary does not hold."""


class NothingLabelled(LabelError):
    """Not one frame or sound got a label.

    Parameters
    ----------
    counts : frames and sounds by reason, such as `{"missing": 12}`.
    example : one of them, in words.
    """

    def __init__(
        self, index_dir: Path, provider: str, counts: Mapping[str, int], example: str = ""
    ) -> None:
        self.counts = dict(counts)
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(self.counts.items()))
        such_as = f", such as {example}" if example else ""
        super().__init__(
            f"{index_dir}: {provider} labelled nothing ({reasons or 'no items'}{such_as}); see "
            "that the corpus is where the index expects it, then run the same command again"
        )


def _options(provider: str) -> str:
    """Return the options that make labels of such a name."""
    if provider in ("shipped", "paper"):
        return f"--provider {provider}"
    if provider.startswith("column:"):
        return f"--provider column --column {quote(provider.removeprefix('column:'))}"
    return f"--provider FILE --name {quote(provider)}"
