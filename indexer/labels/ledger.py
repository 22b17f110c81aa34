"""The writer's side of labels: a set is begun, answers are kept, a set is dropped.

Every function takes an open transaction (`Catalogue.writing`) and leaves its end to the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from indexer.catalogue import chunked, label_failures, label_sets, pseudo_labels
from indexer.labels.errors import VocabulariesMixed
from indexer.labels.provider import Answer, SetFacts
from indexer.pseudo_labels import MODALITIES


def begin_set(connection: Connection, facts: SetFacts) -> int:
    """Return the id of a set, made if need be.

    Raises
    ------
    VocabulariesMixed : the set is there and speaks another vocabulary.
    """
    statement = select(label_sets).where(
        label_sets.c.provider == facts.provider, label_sets.c.version == facts.version
    )
    known = connection.execute(statement).first()
    if known is None:
        return _new_set(connection, facts)
    if (known.vocabulary, tuple(known.names)) != (facts.vocabulary, facts.names):
        raise VocabulariesMixed(
            f"labels by {facts.provider} {facts.version}: the index holds them in vocabulary "
            f"{known.vocabulary!r} of {len(known.names)} names, these are in {facts.vocabulary!r} "
            f"of {len(facts.names)}; give these another --name, or drop those with --delete"
        )
    return int(known.id)


def keep_answers(connection: Connection, label_set: int, answers: Sequence[Answer]) -> None:
    """Store what a provider said, for every item of each side; what it does not know leaves none.

    A side that failed before has the failure taken back, or exchanged for the new one.
    """
    _forget_failures(connection, label_set, answers)
    said = [row for answer in answers for row in _rows(answer)]
    _insert(connection, pseudo_labels, label_set, said)
    failed = [row for answer in answers for row in _failure_rows(answer)]
    _insert(connection, label_failures, label_set, failed)


def drop_sets(connection: Connection, ids: Iterable[int]) -> None:
    """Forget sets with their labels and failures."""
    for label_set in ids:
        for table in (pseudo_labels, label_failures):
            connection.execute(delete(table).where(table.c.label_set == label_set))
        connection.execute(delete(label_sets).where(label_sets.c.id == label_set))


def _new_set(connection: Connection, facts: SetFacts) -> int:
    statement = insert(label_sets).values(
        provider=facts.provider,
        version=facts.version,
        origin=facts.origin,
        vocabulary=facts.vocabulary,
        names=list(facts.names),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    key = connection.execute(statement).inserted_primary_key
    assert key is not None
    return int(key[0])


def _forget_failures(connection: Connection, label_set: int, answers: Sequence[Answer]) -> None:
    for modality in MODALITIES:
        items = [i for one in answers if one.side.modality == modality for i in one.side.items]
        for part in chunked(items):
            connection.execute(
                delete(label_failures).where(
                    label_failures.c.label_set == label_set,
                    label_failures.c.modality == modality,
                    label_failures.c.item.in_(part),
                )
            )


def _rows(answer: Answer) -> list[dict[str, Any]]:
    """Return the rows of one answer; a single empty one where nothing was recognised."""
    if answer.labels is None or answer.scores is None:
        return []
    pairs = list(zip(answer.labels.tolist(), answer.scores.tolist(), strict=True))
    return [
        {"item": item, "modality": answer.side.modality, "rank": n, "label": label, "score": score}
        for item in answer.side.items
        for n, (label, score) in enumerate(pairs or [(None, None)])
    ]


def _failure_rows(answer: Answer) -> list[dict[str, Any]]:
    failure = answer.failure
    if failure is None:
        return []
    return [
        {"item": item, "modality": answer.side.modality}
        | {"path": failure.path, "code": failure.code, "message": failure.message}
        for item in answer.side.items
    ]


def _insert(connection: Connection, table: Any, label_set: int, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(table.insert(), [row | {"label_set": label_set} for row in rows])
