"""retrieval: questions in, hits out; the command line stands on the same call.

`Retriever.search` is the one way in, from Python, the shell and the page. Queries, rankings and
hits are known here; vectors and rows are `indexer`'s, tensors and media `encoder`'s.

Examples
--------
>>> from retrieval import Retriever
>>> with Retriever.open("corpus") as retriever:
...     for hit in retriever.search(audio="clip.wav", k=5):
...         print(hit.rank, hit.path, hit.score)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrieval.hits import Heatmap, Hit, Results
    from retrieval.retriever import Retriever

__all__ = ["Heatmap", "Hit", "Results", "Retriever"]

_HOMES = {
    "Heatmap": "retrieval.hits",
    "Hit": "retrieval.hits",
    "Results": "retrieval.hits",
    "Retriever": "retrieval.retriever",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used: `retrieval --help` must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
