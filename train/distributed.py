"""Several processes as one run, by torch's own DDP under `torchrun`. Nobody else knows of it.

The loss looks at a whole batch, so shares cannot be trained on apart. Every process draws the same
rows and prepares its share of them; prepared shares are exchanged. Every process encodes its share
and gets the maps and f_s of the others with their gradients. Losses over the whole batch are cheap
beside the streams and computed in every process alike. Batch statistics are those of the whole
batch, so that two processes train as one does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from encoder.two_stream import TwoStreamEncoder
from train.objective import Batch, Glued, Objective

PATIENCE = timedelta(hours=6)
"""How long the others wait while the first process decodes or validates."""


@dataclass(frozen=True, kw_only=True)
class Team:
    """The processes of a run, as one of them sees it."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process validates, writes and prints."""
        return self.rank == 0

    def sizes(self, n: int) -> list[int]:
        """How many of n things each process has: parts that differ by one at most."""
        return [n * (r + 1) // self.size - n * r // self.size for r in range(self.size)]

    def share(self, n: int) -> slice:
        """Which of n things are this process's own."""
        start = sum(self.sizes(n)[: self.rank])
        return slice(start, start + self.sizes(n)[self.rank])

    def whole(self, own: Tensor, n: int) -> Tensor:
        """Join the shares of n things along the first axis; gradients find their way back."""
        if self.size == 1:
            return own
        joined: Tensor = _Joined.apply(own, self.sizes(n), self.rank)  # type: ignore[no-untyped-call]
        return joined

    def any(self, asked: bool) -> bool:
        """Whether any process says yes; all of them must ask."""
        if self.size == 1:
            return asked
        votes = torch.tensor(int(asked))
        dist.all_reduce(votes)
        return bool(votes)

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let the first process do something before the others: they find its files."""
        if not self.is_first:
            self.any(False)
        yield
        if self.is_first:
            self.any(False)


ALONE = Team()


@contextmanager
def team_of_environment(device: torch.device) -> Iterator[tuple[Team, torch.device]]:
    """Join the processes that `torchrun` started; the device is this process's own.

    Where nobody started several, the team is `ALONE` on the given device.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ:
        yield ALONE, device
        return
    backend = "gloo"
    if device.type == "cuda":
        device, backend = torch.device("cuda", int(os.environ["LOCAL_RANK"])), "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(device)
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield Team(rank=dist.get_rank(), size=dist.get_world_size()), device
        dist.barrier()  # nobody hangs up while another is still speaking
    finally:
        dist.destroy_process_group()


def is_first_process() -> bool:
    """Whether this process is alone, or the one of several that speaks."""
    return os.environ.get("RANK", "0") == "0"


def launcher() -> list[str]:
    """Return how `torchrun` started this program; nothing where it did not."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "LOCAL_WORLD_SIZE" not in os.environ:
        return []
    n_here = int(os.environ["LOCAL_WORLD_SIZE"])
    n_nodes = int(os.environ["WORLD_SIZE"]) // n_here
    nodes = ["--nnodes", str(n_nodes)] if n_nodes > 1 else []
    return ["torchrun", *nodes, "--nproc-per-node", str(n_here), "-m", "retrieval.cli"]


class Learner:
    """What a batch costs; after the backward pass every process has the whole batch's gradients.

    Parameters
    ----------
    network : its batch norms are replaced in place by ones over the whole batch.
    frozen : streams are not run; what is left is cheap and done in every process alike.
    """

    def __init__(
        self, network: TwoStreamEncoder, objective: Objective, team: Team, *, frozen: bool
    ) -> None:
        self._whole: nn.Module = _Costs(network, objective, team, divided=not frozen)
        self._ddp: DistributedDataParallel | None = None
        if team.size == 1:
            return
        if not frozen:
            share_statistics(network, team)
        # Which weights are used depends on the batch: glued frames, classes.
        self._ddp = DistributedDataParallel(
            self._whole, broadcast_buffers=False, find_unused_parameters=True
        )

    def __call__(self, batch: Batch, glued: Glued | None) -> dict[str, Tensor]:
        """Return each weighted term of the loss by name."""
        terms: dict[str, Tensor] = (self._ddp or self._whole)(batch, glued)
        return terms

    def turn(self, *, is_last: bool) -> AbstractContextManager[None]:
        """Forward and backward pass of one of a step's batches: gradients meet after the last."""
        if self._ddp is None or is_last:
            return nullcontext()
        waiting: AbstractContextManager[None] = self._ddp.no_sync()
        return waiting


class _Costs(nn.Module):
    """Network and objective under one forward, which is what DDP wraps."""

    def __init__(
        self, network: TwoStreamEncoder, objective: Objective, team: Team, *, divided: bool
    ) -> None:
        super().__init__()
        self.network, self.objective, self.team = network, objective, team
        self.is_divided = divided and team.size > 1

    def forward(self, batch: Batch, glued: Glued | None) -> dict[str, Tensor]:
        network = self.network
        if self.is_divided:
            network = cast(TwoStreamEncoder, _Divided(network, self.team))
        terms: dict[str, Tensor] = self.objective(network, batch, glued)
        return terms


class _Divided:
    """The network as the objective sees it: each process encodes its share of what is asked."""

    def __init__(self, network: TwoStreamEncoder, team: Team) -> None:
        self._network, self._team = network, team
        self.sound = self  # `network.sound.from_front`

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def encode_frame(self, frame: Tensor) -> Tensor:
        own = self._network.encode_frame(frame[self._team.share(len(frame))])
        return self._team.whole(own, len(frame))

    def from_front(self, sounds: Tensor) -> Tensor:
        own = self._network.sound.from_front(sounds[self._team.share(len(sounds))])
        return self._team.whole(own, len(sounds))


class _Joined(torch.autograd.Function):
    """Join all processes' parts along the first axis; gradients are summed over the processes.

    DDP then divides by their number: where all processes compute the same loss, the sum counts it
    once.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor, sizes: list[int], rank: int) -> Tensor:
        ctx.sizes, ctx.rank = sizes, rank
        padded = own.new_zeros(max(sizes), *own.shape[1:])
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.split(ctx.sizes)[ctx.rank], None, None


def share_statistics(network: nn.Module, team: Team) -> None:
    """Replace every batch norm by one over all processes' shares; weights stay the same tensors."""
    if next(network.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # torch's own knows no processors
        return
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(module, name, _JointNorm(child, team))


class _JointNorm(_BatchNorm):
    """Batch norm whose mean and variance are those of all processes' shares together."""

    def __init__(self, norm: _BatchNorm, team: Team) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.team, self.training = team, norm.training
        self.weight, self.bias = norm.weight, norm.bias
        for name, statistic in norm.named_buffers():
            setattr(self, name, statistic)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of axes will do."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        x, axes = input.float(), [0, *range(2, input.ndim)]
        n_own = x.new_full((self.num_features,), input.numel() // self.num_features)
        own = torch.stack([x.mean(axes), x.var(axes, correction=0), n_own])
        means, variances, counts = self.team.whole(own[None], self.team.size).unbind(dim=1)
        n = counts.sum(dim=0)
        mean = (counts * means).sum(dim=0) / n
        variance = (counts * (variances + (means - mean).square())).sum(dim=0) / n
        self._remember(mean.detach(), (variance * n / (n - 1)).detach())
        shape = [1, -1, *[1] * (input.ndim - 2)]
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normed = (x - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)
        return normed.to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
