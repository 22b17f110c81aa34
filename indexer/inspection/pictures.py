"""What is wrong with a picture or with the frames of a video, by their looks."""

from __future__ import annotations

from collections.abc import Iterator

from encoder.media import Look, Motion
from indexer.inspection.findings import Finding, Kind, Thresholds
from indexer.inspection.uses import SourceUse


def judge_picture(use: SourceUse, look: Look, limits: Thresholds) -> list[Finding]:
    """Return what was found in a still image."""
    return [
        _finding(use, kind, value, says, (None, None), use.items)
        for kind, value, says in _wrong(look, limits)
    ]


def judge_video(
    use: SourceUse, motion: Motion, limits: Thresholds, window_s: float
) -> list[Finding]:
    """Return what was found in the frames that items use, and in the windows around them.

    Once, where all of the file is so.

    Parameters
    ----------
    window_s : length of the window in whose middle a frame stands.
    """
    found = list(_still(use, motion, limits, window_s))
    of_frame = {time_s: _wrong(motion.at(time_s), limits) for time_s in use.times}
    everywhere = {kind for kind, *_ in _wrong_throughout(motion, limits)}
    for kind, value, says in _wrong_throughout(motion, limits):
        if use.times:
            found.append(_finding(use, kind, value, says, (None, None), use.items))
    for time_s, wrong in of_frame.items():
        for kind, value, says in wrong:
            if kind not in everywhere:
                keys = tuple(use.times[time_s])
                found.append(_finding(use, kind, value, says, (time_s, time_s), keys))
    return found


def _still(
    use: SourceUse, motion: Motion, limits: Thresholds, window_s: float
) -> Iterator[Finding]:
    says = "grey levels change by {0:.2f}"
    spans = {t: (max(t - window_s / 2, 0.0), t + window_s / 2) for t in use.times}
    changes = {t: motion.change_between(*span) for t, span in spans.items()}
    bad = {t: change for t, change in changes.items() if _is_below(change, limits.still_change)}
    whole = motion.change_between(0.0, None)
    if whole is not None and _is_below(whole, limits.still_change) and len(bad) == len(spans) > 0:
        yield _finding(use, "still", whole, says, (None, None), use.items)
        return
    for time_s, change in bad.items():
        assert change is not None
        yield _finding(use, "still", change, says, spans[time_s], tuple(use.times[time_s]))


def _is_below(value: float | None, limit: float) -> bool:
    return value is not None and value < limit


def _wrong_throughout(motion: Motion, limits: Thresholds) -> list[tuple[Kind, float, str]]:
    """Return what is wrong with every look of a video, with the values of the first."""
    kinds = [{kind for kind, *_ in _wrong(look, limits)} for look in motion.looks]
    common = set.intersection(*kinds)
    return [wrong for wrong in _wrong(motion.looks[0], limits) if wrong[0] in common]


def _wrong(look: Look, limits: Thresholds) -> list[tuple[Kind, float, str]]:
    wrong: list[tuple[Kind, float, str]] = []
    if look.brightness <= limits.black_level:
        wrong.append(("black", look.brightness, "98 % of it is no brighter than {0:.0f} of 255"))
    elif look.reach <= limits.colour_reach:
        wrong.append(("one-colour", float(look.reach), "98 % of it lie within {0:.0f} of 255"))
    shorter = min(look.width_px, look.height_px)
    if shorter < limits.tiny_px:
        wrong.append(("tiny", float(shorter), f"{look.width_px} × {look.height_px} px"))
    return wrong


def _finding(
    use: SourceUse,
    kind: Kind,
    value: float,
    says: str,
    span: tuple[float | None, float | None],
    keys: tuple[str, ...],
) -> Finding:
    return Finding(
        kind=kind,
        path=use.source.path,
        message=says.format(value),
        t0_s=span[0],
        t1_s=span[1],
        value=value,
        items=keys,
    )
