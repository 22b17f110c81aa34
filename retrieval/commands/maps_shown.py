"""What `build-index` and `info` say of maps and of conditional search, line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from retrieval.rendering import byte_size

SIDES = {"frames": "pictures", "sounds": "sounds"}
FORMS = {"full": "full", "compact": "compact", "none": "none, only coarse vectors"}
Facts = list[tuple[str, str]]


def map_facts(maps: Mapping[str, Any]) -> Facts:
    """Say what is kept of each frame, in which bases, and whether these still fit.

    Parameters
    ----------
    maps : `indexer.kept_maps.KeptMaps` as JSON.
    """
    frames = {form: n for form, n in maps["frames"].items() if n}
    if not frames:
        return []
    forms = FORMS | ({"full": "full and compact"} if maps["bases"] else {})
    kept = ", ".join(f"{n} frames {forms[form]}" for form, n in frames.items())
    if list(frames) == [maps["form"]]:
        kept = forms[maps["form"]]
    n_bytes = round(maps["bytes_per_frame"])
    found = [("maps", f"{kept}; {byte_size(n_bytes)} per frame" if n_bytes else kept)]
    for basis in maps["bases"]:
        fitted = f"{basis['rank']} axes, fitted to {basis['n_frames']} frames"
        found.append((f"  basis {basis['id']}", f"{fitted}, leaves out {basis['lost']:.1%}"))
    return found + _drift(maps)


def _drift(maps: Mapping[str, Any]) -> Facts:
    n = len(maps["drifted"])
    if not n:
        return []
    what = "1 segment" if n == 1 else f"{n} segments"
    way = "run build-index --refit-maps"
    if not maps["refits"]:
        way = "some have no full maps, so run build-index --reembed"
    return [("  drift", f"the basis no longer fits {what}: {way}")]


def vector_facts(parts: Sequence[Mapping[str, Any]]) -> Facts:
    """Say of what kind the vectors of each part are, and with what recall they are searched.

    Parameters
    ----------
    parts : part number, number of segments, and by space what `indexer.vectors` says of its file.
    """
    found = [("vectors", f"{len(parts)} parts" if len(parts) > 1 else "1 part")]
    for part in parts:
        for space in ("sound", "coarse", "own_sound"):
            facts = part[space]
            if facts is not None and facts["kind"] != "flat":
                times = f"{facts['p50_ms']:.1f} ms, exact search {facts['exact_p50_ms']:.1f} ms"
                recall = f"recall@10 {facts['recall']:.3f}"
                found.append((f"  {space}", f"{facts['kind']}, {facts['n']}: {recall}, {times}"))
            found += [(f"  {space}", note) for note in (facts or {}).get("notes", [])]
    return found


def effort_facts(conditional: Mapping[str, Any], min_recall: float | None = None) -> Facts:
    """Say how pictures and sounds are searched, and with what recall.

    Parameters
    ----------
    conditional : by side, `indexer.compact.effort.Effort` as JSON.
    min_recall : what a build was asked for; None where it is not known.
    """
    if not conditional:
        return [("conditional", "each item is scored in full")]
    asked = "the recall that was asked for" if min_recall is None else f"a recall of {min_recall:g}"
    found = []
    for side, name in SIDES.items():
        effort = conditional.get(side)
        if effort is None:
            found.append((name, "each is scored in full"))
        elif effort["rescored"] is None:
            found.append((name, f"each is scored in full: nothing faster has {asked}"))
        else:
            found.append((name, f"{effort['rescored']} are scored in full for ten answers"))
            measured = f"{effort['n_queries']} queries, {effort['n_items']} {name}"
            found += [
                (f"  {kind}", f"recall@10 {recall:.3f} ({measured})")
                for kind, recall in effort["recall"].items()
            ]
    return found
