"""cIoU of the schemes on a test set, and orderings between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.intervals import Figure, mean_figure, rate_figure
from encoder.localization.evaluate import consensus_ious
from encoder.localization.ground_truth import score_maps
from encoder.localization.metrics import SUCCESS_AT, Values, area_under_success, success_curve
from train.reproduce.lab import Lab
from train.reproduce.looking import attention_maps
from train.reproduce.material import Places
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
        found = self.values >= SUCCESS_AT
        return rate_figure(found[0]) if len(found) == 1 else mean_figure(found.mean(axis=0))

    @property
    def auc(self) -> Figure:
        """Area under the success curve; a mean over the runs."""
        return mean_figure(np.stack([area_under_success(run) for run in self.values]).mean(axis=0))

    @property
    def curve(self) -> Values:
        """Success at 0, 0.05, …, 1, a mean over the runs (21,)."""
        return np.asarray(np.mean([success_curve(run) for run in self.values], axis=0))

    def of(self, chosen: Places) -> Localized:
        """Some of the samples, by their position in the test set."""
        return Localized(name=self.name, values=self.values[:, chosen])


def localized(lab: Lab, scheme: Scheme) -> Localized:
    """Measure a scheme on its test set; once per lab."""
    if scheme not in lab.measured:
        lab.measured[scheme] = _ious(lab, scheme, lab.test(scheme.test))
    return Localized(name=lab.taken(scheme).name, values=lab.measured[scheme])


def localized_on(lab: Lab, scheme: Scheme, rows: Places) -> Localized:
    """Measure a scheme on rows of the caller's choice."""
    return Localized(name=lab.taken(scheme).name, values=_ious(lab, scheme, rows))


def agreements(lab: Lab, rows: Places) -> NDArray[np.float32]:
    """What there is to be found in rows, (N, map_px, map_px)."""
    truths = [lab.material.truths[row] for row in rows.tolist()]
    return score_maps(truths, (lab.size.map_px, lab.size.map_px))


def _ious(lab: Lab, scheme: Scheme, rows: Places) -> Values:
    truths = agreements(lab, rows)
    maps = [attention_maps(network, lab.bank, rows) for network in lab.networks(scheme)]
    return np.concatenate([consensus_ious(run, truths, [lab.threshold]) for run in maps])


def better(claim: str, first: Localized, second: Localized) -> Check:
    """Claim that one scheme's AUC is above another's: finer than the share above one threshold."""
    return Check(
        claim=claim,
        holds=first.auc.mean > second.auc.mean,
        found=f"AUC {first.auc.mean:.3f} > {second.auc.mean:.3f}",
    )
