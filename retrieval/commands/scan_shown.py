"""What `retrieval scan` prints: facts and tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrieval.rendering import as_json, columns, facts, printable, span

if TYPE_CHECKING:
    from indexer.inspection.corpus import Inspection
    from indexer.inspection.findings import Finding
    from indexer.inspection.near import NearDuplicates
    from indexer.scan import ScanReport

SCHEMA = "retrieval.scan/1"


@dataclass(frozen=True)
class Shown:
    """A scan, with what was found inside the files where that was asked for."""

    report: ScanReport
    inspection: Inspection | None
    near: NearDuplicates | None

    def text(self, kinds: Set[str]) -> Iterator[str]:
        """Yield lines for a person; `kinds` are listed file by file."""
        yield from facts(self._facts())
        if self.inspection is None:
            for failure in self.report.failures:
                yield f"  {printable(failure.message)}"
            return
        yield ""
        yield from _table(self.inspection)
        chosen = [one for one in self.inspection.findings if one.kind in kinds]
        if chosen:
            yield ""
            rows = [(one.kind, one.path, span(one.t0_s, one.t1_s), _words(one)) for one in chosen]
            yield from columns(("finding", "file", "where", "what"), rows)

    def json(self) -> Iterator[str]:
        """Yield the one object that `--json` prints."""
        report = self.report
        yield as_json(
            {
                "schema": SCHEMA,
                "corpus": str(report.corpus),
                "files": report.n_files,
                "items": report.n_items,
                "ignored": report.ignored,
                "failures": [
                    {"path": one.path, "code": one.code, "message": one.message}
                    for one in report.failures
                ],
                "inspection": None if self.inspection is None else self._inspection_json(),
            }
        )

    def json_lines(self) -> Iterator[str]:
        """Yield one object per finding."""
        assert self.inspection is not None, "lines are of findings"
        for finding in self.inspection.findings:
            yield json.dumps(finding.to_json(), allow_nan=False)

    def _inspection_json(self) -> dict[str, Any]:
        assert self.inspection is not None
        found, near = self.inspection, self.near
        return {
            "n_files": found.n_files,
            "n_digested": found.n_digested,
            "seconds": round(found.seconds, 3),
            "cpu_s": round(found.cpu_s, 3),
            "sound_s": round(found.sound_s, 3),
            "counts": {kind: n_files for kind, _, n_files, _ in _counts(found)},
            "findings": [finding.to_json() for finding in found.findings],
            "near": None
            if near is None
            else {
                "n_compared": near.n_compared,
                "n_left_out": near.n_left_out,
                "n_without_map": near.n_without_map,
            },
        }

    def _facts(self) -> list[tuple[str, str]]:
        report = self.report
        return [
            ("corpus", str(report.corpus)),
            *((f"{kind} files", str(n)) for kind, n in sorted(report.n_files.items())),
            *((f"{kind} items", str(n)) for kind, n in sorted(report.n_items.items())),
            *((f"ignored: {reason}", str(n)) for reason, n in sorted(report.ignored.items())),
            ("cannot be used", str(len(report.failures))),
            *self._inspection_facts(),
        ]

    def _inspection_facts(self) -> Iterator[tuple[str, str]]:
        found, near = self.inspection, self.near
        if found is None:
            return
        yield "decoded", f"{found.n_files} files in {found.seconds:.1f} s"
        if near is None:
            yield "near duplicates", "not looked for: there is no index yet"
            return
        left_out = f", {near.n_left_out} more left out" if near.n_left_out else ""
        without = f", {near.n_without_map} pictures have no map" if near.n_without_map else ""
        yield "near duplicates", f"{near.n_compared} vectors compared{left_out}{without}"


def _table(found: Inspection) -> list[str]:
    rows = [
        (kind, str(n_files), str(n_items), meaning)
        for kind, meaning, n_files, n_items in _counts(found)
    ]
    return columns(("finding", "files", "items", "meaning"), rows)


def _counts(found: Inspection) -> Iterator[tuple[str, str, int, int]]:
    """Yield kind, meaning, files and items of every kind, also of those that were not found."""
    from indexer.inspection.findings import KINDS

    for kind, meaning in KINDS.items():
        of_kind = [one for one in found.findings if one.kind == kind]
        items = {key for one in of_kind for key in one.items}
        yield kind, meaning, len({one.path for one in of_kind}), len(items)


def _words(finding: Finding) -> str:
    return f"{finding.code}: {finding.message}" if finding.code else finding.message
