"""Vectors to a file of the right kind, in bounded memory, with what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from indexer.blocks import Floats
from indexer.storage import FileRecord
from indexer.vectors.flat import write_flat
from indexer.vectors.lists import ListWriter, factory, trained
from indexer.vectors.mapped import mapped
from indexer.vectors.measure import Truth, Tuned, exact_ms, tune
from indexer.vectors.plan import Kind, VectorPlan
from indexer.vectors.proposals import Proposer
from indexer.vectors.sample import Blocks, Survey


@dataclass(frozen=True)
class Written:
    """A file of vectors.

    Attributes
    ----------
    facts : JSON: `kind`, `factory`, `n`, `bytes`, `recall` (at 10) and `p50_ms` of one proposal
        beside `exact_p50_ms`, `n_queries`, `notes`; of inverted lists `n_lists` and `settings`.
    """

    record: FileRecord
    facts: dict[str, Any]


def write_vectors(
    path: Path,
    blocks: Blocks,
    width: int,
    *,
    plan: VectorPlan,
    asked: Floats | None = None,
) -> Written:
    """Write unit vectors (n, width) with their ids, as `VectorIndex.open` reads them.

    Parameters
    ----------
    blocks : yields ids (n,) and vectors (n, width), the same whenever it is called: twice, or three
        times where inverted lists are given up.
    plan : what the index may cost and must give. Where it cannot give it, it is flat; `facts` says.
    asked : (m, width) other unit vectors like those that will be searched for, such as sounds for
        an index of pictures: they must find as much as vectors of the index itself.
    """
    survey = Survey.of(blocks, width)
    kind = plan.kind_for(len(survey.ids), width)
    notes = _forced(kind, plan, len(survey.ids))
    if kind != "flat":
        written = _inverted(path, blocks, kind, survey, plan, asked)
        if isinstance(written, Written):
            return written
        notes.append(f"{kind} reached recall {written.best_recall:.3f} of {plan.min_recall:g}")
    return _flat(path, blocks, survey, plan, notes)


def _forced(kind: Kind, plan: VectorPlan, n: int) -> list[str]:
    if plan.kind in (None, kind):
        return []
    return [f"{plan.kind} was asked for; {n} vectors at recall {plan.min_recall:g} are kept flat"]


def _flat(
    path: Path, blocks: Blocks, survey: Survey, plan: VectorPlan, notes: list[str]
) -> Written:
    record = write_flat(path, blocks, survey.sample.shape[1], known=survey.ids)
    if not plan.fits(record.bytes):
        notes.append(f"takes {record.bytes} bytes of {plan.max_memory_bytes}")
    taken = exact_ms(survey)
    p50_ms = median(taken) if taken else 0.0
    facts = {
        "kind": "flat",
        "factory": "IDMap2,Flat",
        "n": record.rows,
        "bytes": record.bytes,
        "recall": 1.0,
        "p50_ms": p50_ms,
        "exact_p50_ms": p50_ms,
        "n_queries": len(taken),
        "notes": notes,
    }
    return Written(record, facts)


def _inverted(
    path: Path, blocks: Blocks, kind: Kind, survey: Survey, plan: VectorPlan, asked: Floats | None
) -> Written | Tuned:
    """Return what was written, or how little it reached."""
    index, truth = trained(kind, survey), Truth(survey, asked)
    writer = ListWriter(path, index)
    try:
        for ids, vectors in blocks():
            writer.add(ids, vectors)
            truth.add(ids, vectors)
        record = writer.finish()
    finally:
        writer.discard()
    with path.open("rb") as file:
        lists = Proposer(mapped(file, path), path)
    exact_p50_ms = median(exact_ms(survey))
    tuned = tune(lists, truth, plan.min_recall, exact_p50_ms)
    if tuned.settings is None:
        path.unlink()  # what is mapped must never be written over
        return tuned
    first = tuned.settings[0]
    fits = plan.fits(record.bytes)
    facts = {
        "kind": kind,
        "factory": factory(kind, lists.width, record.rows),
        "n": record.rows,
        "n_lists": lists.n_lists,
        "bytes": record.bytes,
        "settings": [one.to_json() for one in tuned.settings],
        "recall": first.recall,
        "p50_ms": first.p50_ms,
        "exact_p50_ms": exact_p50_ms,
        "n_queries": len(truth.queries),
        "notes": [] if fits else [f"takes {record.bytes} bytes of {plan.max_memory_bytes}"],
    }
    return Written(record, facts)
