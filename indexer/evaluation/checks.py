"""What must hold of an index before any of its answers is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexer.errors import EncoderMismatch
from indexer.reader import IndexReader

if TYPE_CHECKING:
    from encoder.embedder import Embedder


def check_encoder(reader: IndexReader, embedder: Embedder) -> None:
    """Refuse an encoder that did not build the index. Raises EncoderMismatch."""
    if embedder.fingerprint != reader.encoder_fingerprint:
        raise EncoderMismatch(
            reader.path,
            built_by=f"{reader.encoder_name} ({reader.encoder_fingerprint[:12]})",
            given=f"{embedder.name} ({embedder.fingerprint[:12]})",
            corpus=reader.corpus,
        )
