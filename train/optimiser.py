"""How weights move: the optimiser, and its rate over a run."""

from __future__ import annotations

import math

import torch
from torch import nn

from train.recipe import Recipe

WARM_UP_STEPS = 100
GRADIENT_NORM = 5.0


def adamw(module: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW over what is trained; it decays matrices and convolutions, not biases or scales."""
    weights = [w for w in module.parameters() if w.requires_grad]
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]
    # Fused: one pass over the weights; on processors a quarter of the time of a small step.
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True)


def schedule(optimiser: torch.optim.Optimizer, recipe: Recipe) -> torch.optim.lr_scheduler.LambdaLR:
    """Let the optimiser's rate follow the recipe, step by step."""
    annealed = recipe.schedule == "cosine"
    return torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: rate_factor(step, recipe.steps, annealed=annealed)
    )


def rate_factor(step: int, steps: int, *, annealed: bool = True) -> float:
    """Linear warm-up, at most a tenth of the run, then half a cosine to nothing, or 1."""
    warm_up = min(1.0, (step + 1) / min(WARM_UP_STEPS, max(1, steps // 10)))
    if not annealed:
        return warm_up
    return warm_up * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
