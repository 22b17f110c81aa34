"""Residual stages that both compact streams are built of."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, conv1x1


def residual_stage(n_in: int, n_out: int, n_blocks: int, stride: int) -> nn.Sequential:
    """`n_blocks` basic blocks (He et al. 2016), the first of which strides and widens."""
    shortcut = None
    if stride != 1 or n_in != n_out:
        shortcut = nn.Sequential(conv1x1(n_in, n_out, stride), nn.BatchNorm2d(n_out))
    first = BasicBlock(n_in, n_out, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(n_out, n_out) for _ in range(n_blocks - 1)))


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
