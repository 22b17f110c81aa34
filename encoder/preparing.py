"""Pictures to the network's size, without PyTorch: what a decoding process must do by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def prepared_frame(image: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Resize a picture (H, W, 3) to (3, px, px), both sides alike, as S19's code does."""
    resized = Image.fromarray(image).resize((side_px, side_px), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))
