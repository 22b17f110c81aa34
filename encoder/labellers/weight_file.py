"""Tensors from a weight file: `.safetensors`, or `.pth` through torch's restricted reader."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from encoder.errors import WeightsUnavailable
from encoder.labellers.errors import WeightsRefused


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read named tensors onto the CPU. Nothing in the file is executed.

    Raises
    ------
    WeightsUnavailable : no such file.
    WeightsRefused : damaged, or it holds anything but named tensors, a pickled module, say.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, IsADirectoryError):
        raise WeightsUnavailable(f"{path}: no such file; check the path") from None
    except UnpicklingError as error:
        reason = str(error).split(". ")[0].splitlines()[0]
        raise WeightsRefused(
            f"{path}: holds more than tensors ({reason}); nothing was executed; save the module's "
            "state_dict() instead"
        ) from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsRefused(f"{path}: not a weight file, or damaged ({reason})") from None
    if not isinstance(held, dict) or not all(isinstance(v, Tensor) for v in held.values()):
        raise WeightsRefused(f"{path}: not a table of named tensors; save the state_dict() alone")
    return {str(name): value for name, value in held.items()}
