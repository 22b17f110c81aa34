"""Residual stages that both compact streams are built of."""

from __future__ import annotations

from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions with a shortcut (He et al. 2016).

    Parameter names and arithmetic are torchvision's, and a test holds that. Its own class is not
    used because importing torchvision loads torch's compiler, half of the time that a query takes.
    """

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.downsample: nn.Module | None = None
        if stride != 1 or n_in != n_out:
            project = nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(project, nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in, H, W) → (B, n_out, ⌈H/stride⌉, ⌈W/stride⌉)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)  # type: ignore[no-any-return]


def residual_stage(n_in: int, n_out: int, n_blocks: int, stride: int) -> nn.Sequential:
    """`n_blocks` basic blocks, the first of which strides and widens."""
    first = BasicBlock(n_in, n_out, stride)
    return nn.Sequential(first, *(BasicBlock(n_out, n_out, 1) for _ in range(n_blocks - 1)))


class ResidualTrunk(nn.Module):
    """Stem at stride 4 and four residual stages; parameter names are torchvision's ResNet's.

    Parameters
    ----------
    n_in : input channels.
    width : channels of the first stage; the last has 8 × width.
    blocks : blocks per stage.
    last_stride : stride of the fourth stage; 1 gives stride 16 in all, 2 gives 32.
    """

    def __init__(
        self, n_in: int, width: int, blocks: tuple[int, int, int, int], last_stride: int
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = residual_stage(width, width, blocks[0], 1)
        self.layer2 = residual_stage(width, 2 * width, blocks[1], 2)
        self.layer3 = residual_stage(2 * width, 4 * width, blocks[2], 2)
        self.layer4 = residual_stage(4 * width, 8 * width, blocks[3], last_stride)
        self.n_out = 8 * width
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in, H, W) → (B, 8 × width, ⌈H/s⌉, ⌈W/s⌉), s the total stride."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))  # type: ignore[no-any-return]
