"""The losses of S18 §4, S19 §4 and their leak-free companions. Pure functions of tensors.

Shape legend: B pairs in a batch, M cells, 1000 the width of f_s and f_v.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy, log_softmax, normalize

PROXY_SCALE = 16.0


def distance_ratio(f_v: Tensor, f_s_positive: Tensor, f_s_negative: Tensor) -> Tensor:
    """L_U of S19 eq. 6, the mean over the batch: 0.5 where both sounds are equally far.

    Parameters
    ----------
    f_v : (B, 1000), each frame conditioned on its own sound, not normalised.
    f_s_positive : (B, 1000), the sound of the frame.
    f_s_negative : (B, 1000), the sound of another recording.
    """
    d_positive = (f_v - f_s_positive).norm(dim=1)
    d_negative = (f_v - f_s_negative).norm(dim=1)
    # D+ = exp(d+) / (exp(d+) + exp(d-)); D- − 1 = −D+, so both squared errors are the same.
    return 2 * torch.sigmoid(d_positive - d_negative).square().mean()


def pair_scores(f_v: Tensor, f_s: Tensor) -> Tensor:
    """Return the leak-free scores cos(f_v(X_i, S_j), f_s(S_j)) of definitions §3.

    Parameters
    ----------
    f_v : (N, K, 1000), frame i conditioned on sound j.
    f_s : (K, 1000).

    Returns
    -------
    (N, K) in [-1, 1].
    """
    return torch.einsum("nkd,kd->nk", normalize(f_v, dim=2), normalize(f_s, dim=1))


def multi_positive_nce(logits: Tensor, positive: Tensor) -> Tensor:
    """InfoNCE in both directions where a row may have several right answers.

    Parameters
    ----------
    logits : (N, K), frames × sounds.
    positive : (N, K), how right an answer is: bool, or shares in [0, 1] where sounds are mixed.
        Rows and columns without a positive only serve as negatives.
    """
    return (_row_nce(logits, positive) + _row_nce(logits.T, positive.T)) / 2


def _row_nce(logits: Tensor, positive: Tensor) -> Tensor:
    has_answer = positive.any(dim=1)
    log_p = log_softmax(logits.float(), dim=1)[has_answer]
    target = positive[has_answer].float()
    return -(log_p * target).sum(dim=1).div(target.sum(dim=1)).mean()


def panel_attention(cell_logits: Tensor, positive: Tensor) -> Tensor:
    """Make a sound attend to its own frame when the batch's frames stand side by side.

    Glue all N frames of the batch into one panel: the attention that sound j gives to frame i is
    softmax over i of logsumexp over cells. It must lie where the sound belongs. Two frames give
    half-frame supervision; N frames cost nothing more, since the cells are there already.

    Parameters
    ----------
    cell_logits : (N, K, M), scale × g(v_i, h).
    positive : (N, K) bool, frame i shows what sound j is the sound of; or its share in the sound.
    """
    mass = cell_logits.float().logsumexp(dim=2)
    return _row_nce(mass.T, positive.T)


def proxy_loss(x: Tensor, proxies: Tensor, target: Tensor) -> Tensor:
    """Draw embeddings of a label to one point of the shared space (normalised softmax).

    Parameters
    ----------
    x : (B, 1000), unit norm: the frame alone, or the sound.
    proxies : (n_labels, 1000), unit norm, learned, thrown away after training.
    target : (B,) int64 labels, or (B, n_labels) shares that sum to 1.
    """
    return cross_entropy(PROXY_SCALE * x @ proxies.T, target, label_smoothing=0.1)


def half_frame_attention(attention: Tensor, on_right: Tensor, grid: tuple[int, int]) -> Tensor:
    """Penalise attention on the wrong half of two frames glued side by side (O20 §5).

    Parameters
    ----------
    attention : (B, M), sums to 1, row by row.
    on_right : (B,) how much of the sound belongs to the right half: bool, or shares in [0, 1].
    grid : (H', W') with H' W' = M and W' even.
    """
    cells = attention.float().view(-1, *grid)
    right = cells[:, :, grid[1] // 2 :].sum(dim=(1, 2))
    share = on_right.to(right)
    found = share * right.clamp_min(1e-6).log() + (1 - share) * (1 - right).clamp_min(1e-6).log()
    return -found.mean()


def attention_target(agreement: Tensor, grid: tuple[int, int], *, normalised: bool) -> Tensor:
    """α_GT of S19 eq. 8 on the grid, from what annotators agree on.

    A cell is 1 where the agreement over its area is at least one half. A source too small for that
    keeps the cells that it covers most. Rows without annotation stay zero.

    Parameters
    ----------
    agreement : (B, 1, S, S) in [0, 1]; all zero where nobody annotated.
    grid : (H', W').
    normalised : divide by the number of cells, so that every source weighs the same.

    Returns
    -------
    (B, M), M = H' W', row by row.
    """
    cells = adaptive_avg_pool2d(agreement, grid).flatten(1)
    most = cells.amax(dim=1, keepdim=True)
    target = (cells >= most.clamp(max=0.5)) & (most > 0)
    return normalize(target.float(), p=1, dim=1) if normalised else target.float()


def attention_cross_entropy(log_attention: Tensor, target: Tensor) -> Tensor:
    """λ(α_GT) · L_S of S19 eq. 7 and 8: the mean over the batch of −Σ α_GT,i log α_i.

    Parameters
    ----------
    log_attention : (B, M), log α.
    target : (B, M), α_GT; λ = 0 for a row of zeros: it adds nothing, and nothing to any gradient.
    """
    annotated = target.any(dim=1)
    return -(target[annotated] * log_attention[annotated]).sum() / len(target)


def attention_squared_error(log_attention: Tensor, target: Tensor) -> Tensor:
    """The other L_S that S18 §4 names: squared error of α, the mean over cells and batch.

    Parameters as of `attention_cross_entropy`.
    """
    annotated = target.any(dim=1)
    error = log_attention[annotated].exp() - target[annotated]
    return error.square().mean(dim=1).sum() / len(target)
