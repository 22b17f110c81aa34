"""cIoU of the schemes on a test set, and orderings between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.intervals import SHARES, Figure, mean_figure, rate_figure
from encoder.localization.evaluate import consensus_ious
from encoder.localization.ground_truth import score_maps
from encoder.localization.metrics import SUCCESS_AT, Values, area_under_success, success_curve
from train.reproduce.lab import Lab
from train.reproduce.looking import attention_maps
from train.reproduce.material import Places
from train.reproduce.orderings import above
from train.reproduce.outcome import Check
from train.reproduce.schemes import Scheme


@dataclass(frozen=True, kw_only=True, eq=False)
class Localized:
    """cIoU of one scheme's runs on one test set.

    Attributes
    ----------
    values : (runs, N).
    """

    name: str
    values: Values

    @property
    def success(self) -> Figure:
        """Share of samples with cIoU ≥ 0.5, the papers' "cIoU"; a mean over the runs."""
        if len(self.values) == 1:
            return rate_figure(self.values[0] >= SUCCESS_AT)
        return mean_figure(self.found.mean(axis=0), within=SHARES)

    @property
    def auc(self) -> Figure:
        """Area under the success curve; a mean over the runs."""
        return mean_figure(self.areas.mean(axis=0), within=SHARES)

    @property
    def areas(self) -> Values:
        """Area under each sample's own success curve, (runs, N)."""
        return np.stack([area_under_success(run) for run in self.values])

    @property
    def found(self) -> Values:
        """1 where a sample is found (cIoU ≥ 0.5), else 0, (runs, N)."""
        return (self.values >= SUCCESS_AT).astype(np.float64)

    @property
    def curve(self) -> Values:
        """Success at 0, 0.05, …, 1, a mean over the runs (21,)."""
        return np.asarray(np.mean([success_curve(run) for run in self.values], axis=0))


def localized(lab: Lab, scheme: Scheme) -> Localized:
    """Measure a scheme on its test set; once per lab."""
    if scheme not in lab.measured:
        lab.measured[scheme] = _ious(lab, scheme, lab.test(scheme.test))
    return Localized(name=scheme.name, values=lab.measured[scheme])


def localized_on(lab: Lab, scheme: Scheme, rows: Places) -> Localized:
    """Measure a scheme on rows of the caller's choice."""
    return Localized(name=scheme.name, values=_ious(lab, scheme, rows))


def agreements(lab: Lab, rows: Places) -> NDArray[np.float32]:
    """What there is to be found in rows, (N, map_px, map_px)."""
    truths = [lab.material.truths[row] for row in rows.tolist()]
    return score_maps(truths, (lab.size.map_px, lab.size.map_px))


def _ious(lab: Lab, scheme: Scheme, rows: Places) -> Values:
    truths = agreements(lab, rows)
    maps = [attention_maps(network, lab.bank, rows) for network in lab.networks(scheme)]
    return np.concatenate([consensus_ious(run, truths, [lab.threshold]) for run in maps])


def better(claim: str, first: Localized, second: Localized, *, is_close: bool = False) -> Check:
    """Claim that one scheme's AUC is above another's: finer than the share above one threshold."""
    return above(claim, first.areas, second.areas, what="AUC", is_close=is_close)
