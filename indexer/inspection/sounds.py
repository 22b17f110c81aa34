"""What is wrong with a sound, by its levels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from encoder.media import Level, Levels
from indexer.inspection.findings import Finding, Kind, Thresholds
from indexer.inspection.uses import SourceUse, Span


@dataclass(frozen=True)
class _Heard:
    """A span of a sound: its level and how long it lasts."""

    level: Level
    seconds: float


@dataclass(frozen=True)
class _Test:
    """When a span is a finding: `value` of it, None where it is none, and its words."""

    kind: Kind
    value: Callable[[_Heard, Thresholds], float | None]
    says: str


def judge_sound(use: SourceUse, levels: Levels, limits: Thresholds) -> list[Finding]:
    """Return what was found in the spans that items use; once, where all of the file is so."""
    whole = _Heard(levels.between(0.0, None), levels.duration_s)
    spans = {span: _heard(levels, span) for span in use.spans}
    return [finding for test in TESTS for finding in _found(use, whole, spans, test, limits)]


def _heard(levels: Levels, span: Span) -> _Heard:
    t0_s, t1_s = span
    end_s = levels.duration_s if t1_s is None else min(t1_s, levels.duration_s)
    return _Heard(levels.between(t0_s, t1_s), max(end_s - t0_s, 0.0))


def _found(
    use: SourceUse, whole: _Heard, spans: dict[Span, _Heard], test: _Test, limits: Thresholds
) -> Iterator[Finding]:
    values = {span: test.value(heard, limits) for span, heard in spans.items()}
    bad = {span: value for span, value in values.items() if value is not None}
    everywhere = test.value(whole, limits)
    if everywhere is not None and bad and len(bad) == len(values):
        keys = tuple(dict.fromkeys(key for span in bad for key in use.spans[span]))
        yield _finding(use, test, everywhere, (None, None), keys)
        return
    for (t0_s, t1_s), value in bad.items():
        yield _finding(use, test, value, (t0_s, t1_s), tuple(use.spans[t0_s, t1_s]))


def _finding(
    use: SourceUse,
    test: _Test,
    value: float,
    span: tuple[float | None, float | None],
    keys: tuple[str, ...],
) -> Finding:
    return Finding(
        kind=test.kind,
        path=use.source.path,
        message=test.says.format(value, 100 * value),
        t0_s=span[0],
        t1_s=span[1],
        value=value,
        items=keys,
    )


def _not_finite(heard: _Heard, limits: Thresholds) -> float | None:
    return heard.level.not_finite or None


def _silent(heard: _Heard, limits: Thresholds) -> float | None:
    level = heard.level
    is_silent = level.n and level.rms_db < limits.silent_db
    return level.rms_db if is_silent else None


def _cancelling(heard: _Heard, limits: Thresholds) -> float | None:
    level = heard.level
    is_lost = level.rms_db >= limits.silent_db and level.mix_db <= limits.cancelled_db
    return level.mix_db if is_lost else None


def _clipped(heard: _Heard, limits: Thresholds) -> float | None:
    share = heard.level.clipped_share
    return share if share >= limits.clipped_share else None


def _too_short(heard: _Heard, limits: Thresholds) -> float | None:
    return heard.seconds if heard.seconds < limits.short_s else None


TESTS = (
    _Test("not-finite", _not_finite, "{0:.0f} samples are NaN or infinite"),
    _Test("silent", _silent, "RMS {0:.1f} dBFS"),
    _Test("cancelling", _cancelling, "mixed to mono {0:.1f} dB against unrelated channels"),
    _Test("clipped", _clipped, "{1:.2f} % of the samples stand in runs at full scale"),
    _Test("too-short", _too_short, "{0:.3f} s of sound"),
)
