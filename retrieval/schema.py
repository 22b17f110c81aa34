"""`retrieval query --json`: the one place that knows its fields (docs/query-schema.md)."""

from __future__ import annotations

from typing import Any

from retrieval.hits import Hit, Results
from retrieval.retriever import Retriever

SCHEMA = "retrieval.query/1"


def results_json(results: Results, retriever: Retriever) -> dict[str, Any]:
    """Return the object that `query --json` prints."""
    reader = retriever.reader
    return {
        "schema": SCHEMA,
        "index": {
            "path": str(reader.path.resolve()),
            "generation": reader.generation,
            "encoder": reader.encoder_name,
        },
        "query": results.question.to_json()
        | {"to": results.plan.to, "ranking": results.plan.ranking, "extras": _extras(results)},
        "took_ms": {
            "embed": round(results.took_ms.embed, 3),
            "search": round(results.took_ms.search, 3),
            "condition": round(results.took_ms.condition, 3),
        },
        "exact": results.exact,
        "hits": [hit_json(hit) for hit in results],
    }


def _extras(results: Results) -> list[dict[str, Any]]:
    asked = results.question.to_json()["extras"]
    return [
        {**extra, "ranking": part.ranking}
        for extra, part in zip(asked, results.plan.extras, strict=True)
    ]


def hit_json(hit: Hit) -> dict[str, Any]:
    """Return one hit; also a line of `query --jsonl`."""
    return {
        "rank": hit.rank,
        "id": hit.id,
        "path": hit.path,
        "image": hit.image,
        "audio": hit.audio,
        "t0": hit.t0,
        "t1": hit.t1,
        "score": round(hit.score, 6),
        "percentile": None if hit.percentile is None else round(hit.percentile, 3),
        "label": hit.label,
        "metadata": dict(hit.metadata),
    }
