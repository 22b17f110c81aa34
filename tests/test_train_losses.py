"""The losses of S19 §4 and their leak-free companions, against hand-computed values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from train.losses import (
    distance_ratio,
    half_frame_attention,
    multi_positive_nce,
    pair_scores,
    panel_attention,
    proxy_loss,
)
from train.objective import Batch, eq_6, mix


def test_equal_distances_give_one_half() -> None:
    """Definitions §2: d+ = d- gives 0.5."""
    f_v = torch.zeros(3, 1000)
    f_s = torch.ones(3, 1000)
    assert distance_ratio(f_v, f_s, -f_s).item() == pytest.approx(0.5)


def test_distance_ratio_is_equation_6_written_out() -> None:
    torch.manual_seed(0)
    f_v, near, far = torch.randn(3, 4, 1000).unbind()
    expected = []
    for v, p, n in zip(f_v, near, far, strict=True):
        d_p, d_n = (v - p).norm(), (v - n).norm()
        share = torch.stack([d_p, d_n]).softmax(dim=0)
        expected.append((share - torch.tensor([0.0, 1.0])).square().sum())
    torch.testing.assert_close(distance_ratio(f_v, near, far), torch.stack(expected).mean())


def test_distance_ratio_gradient_agrees_with_finite_differences() -> None:
    torch.manual_seed(0)
    f_v = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    near, far = torch.randn(2, 2, 6, dtype=torch.float64).unbind()
    assert torch.autograd.gradcheck(lambda x: distance_ratio(x, near, far), f_v)


def test_the_negative_of_a_pair_is_the_next_sound_of_another_group() -> None:
    torch.manual_seed(0)
    f_v, f_s = torch.randn(2, 5, 1000).unbind()
    group, negative = torch.tensor([0, 0, 1, 2, 0]), torch.tensor([2, 2, 3, 4, 2])
    expected = distance_ratio(f_v, f_s, f_s[negative])
    torch.testing.assert_close(eq_6(f_v, f_s, group[:, None] == group[None]), expected)


def test_pair_scores_are_cosines_of_each_pair() -> None:
    torch.manual_seed(0)
    f_v, f_s = torch.randn(3, 4, 1000), torch.randn(4, 1000)
    scores = pair_scores(f_v, f_s)
    for i in range(3):
        for j in range(4):
            cosine = torch.cosine_similarity(f_v[i, j], f_s[j], dim=0)
            torch.testing.assert_close(scores[i, j], cosine)


def test_one_positive_each_is_symmetric_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(5, 5), torch.arange(5)
    expected = (
        torch.nn.functional.cross_entropy(logits, target)
        + torch.nn.functional.cross_entropy(logits.T, target)
    ) / 2
    torch.testing.assert_close(multi_positive_nce(logits, torch.eye(5, dtype=torch.bool)), expected)


def test_rows_without_a_positive_are_only_negatives() -> None:
    logits = torch.zeros(2, 3)
    positive = torch.tensor([[True, False, False], [False, False, False]])
    expected = (math.log(3) + math.log(2)) / 2  # one frame among 3 sounds, one sound among 2 frames
    assert multi_positive_nce(logits, positive).item() == pytest.approx(expected, abs=1e-6)


def test_several_positives_share_the_mass() -> None:
    positive = torch.ones(2, 2, dtype=torch.bool)
    assert multi_positive_nce(torch.zeros(2, 2), positive).item() == pytest.approx(math.log(2))


def test_panel_attention_is_the_mass_over_frames_standing_side_by_side() -> None:
    torch.manual_seed(0)
    cells = torch.randn(3, 2, 7)  # 3 frames, 2 sounds, 7 cells
    positive = torch.tensor([[True, False], [False, False], [False, True]])
    panel = torch.cat(list(cells), dim=1).softmax(dim=1).view(2, 3, 7).sum(dim=2)
    expected = -(panel[0, 0].log() + panel[1, 2].log()) / 2
    torch.testing.assert_close(panel_attention(cells, positive), expected)


def test_half_frame_attention_knows_left_from_right() -> None:
    attention = torch.zeros(2, 8)
    attention[:, [2, 7]] = 0.5  # grid 2 × 4: columns 2 and 3, the right half
    right, wrong = torch.tensor([True, True]), torch.tensor([False, False])
    assert half_frame_attention(attention, right, (2, 4)).item() == pytest.approx(0, abs=1e-6)
    assert half_frame_attention(attention, wrong, (2, 4)).item() > 10
    uniform = torch.full((1, 8), 1 / 8)
    half = half_frame_attention(uniform, torch.tensor([True]), (2, 4)).item()
    assert half == pytest.approx(math.log(2), abs=1e-6)


def test_half_frame_attention_takes_shares() -> None:
    attention = torch.tensor([[0.1, 0.2, 0.3, 0.4]])  # grid 1 × 4
    found = half_frame_attention(attention, torch.tensor([0.75]), (1, 4)).item()
    assert found == pytest.approx(-0.75 * math.log(0.7) - 0.25 * math.log(0.3), abs=1e-6)


def test_proxies_draw_both_embeddings() -> None:
    torch.manual_seed(0)
    proxies = normalize(torch.randn(4, 1000), dim=1)
    label = torch.tensor([0, 3])
    there = proxy_loss(proxies[label], proxies, label)
    elsewhere = proxy_loss(proxies[[1, 2]], proxies, label)
    assert there < elsewhere
    shares = torch.nn.functional.one_hot(label, 4).float()
    torch.testing.assert_close(proxy_loss(proxies[label], proxies, shares), there)


def test_a_positive_of_shares_is_the_mean_over_its_answers() -> None:
    torch.manual_seed(0)
    logits, share = torch.randn(3, 3), torch.tensor([0.7, 0.3])
    positive = torch.zeros(3, 3)
    positive[0, :2] = share
    expected = -(share * logits.log_softmax(dim=1)[0, :2]).sum()
    columns = [-logits.log_softmax(dim=0)[0, i] for i in (0, 1)]  # one answer each
    both = (expected + torch.stack(columns).mean()) / 2
    torch.testing.assert_close(multi_positive_nce(logits, positive), both)


def test_mixed_sounds_belong_to_both_frames_by_their_share() -> None:
    group = torch.tensor([0, 1, 2])
    batch = Batch(frames=torch.zeros(3, 3, 32, 32), sounds=torch.eye(3)[:, None], group=group)
    mixed = mix(batch, np.random.default_rng(0))
    assert mixed.mixed is not None
    own, other = mixed.mixed.own, mixed.mixed.other
    assert bool(((own >= 0.5) & (own <= 1)).all())
    for j in range(3):
        sound = own[j] * torch.eye(3)[j] + (1 - own[j]) * torch.eye(3)[other[j]]
        torch.testing.assert_close(mixed.sounds[j, 0], sound)
        torch.testing.assert_close(mixed.positive[:, j], sound)
    torch.testing.assert_close(batch.positive, torch.eye(3))
