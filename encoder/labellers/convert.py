"""`python -m encoder.labellers.convert IN OUT`: SoundNet's public weight files to ours.

Three layouts are known, all of SoundNet-8 with its two heads:

- `.npy`, a pickled dictionary `{conv1: {weights, biases, gamma, beta, mean, var}, …, conv8,
  conv8_2}` with kernels (k, 1, in, out): SoundNet-tensorflow's `sound8.npy`;
- `.pth`, names `conv1.0.weight`, `conv1.1.running_mean`, …, `conv8.0.weight`, `conv8_2.0.weight`
  with kernels (out, in, k, 1): SoundNet_Pytorch's `sound8.pth`;
- `.pth`, names `conv1.weight`, `batchnorm1.running_mean`, …, `conv8_objs.weight`,
  `conv8_scns.weight`: pytorch-soundnet, its `state_dict()`.

Ours is safetensors, float32, named as `encoder.labellers.soundnet.SoundNetHeads`. Batch norms use
an epsilon of 1e-5 in all of them.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as to_bytes
from torch import Tensor

from encoder.errors import EncoderError, WeightsUnavailable
from encoder.labellers.errors import WeightsRefused
from encoder.labellers.numpy_pickle import read_array_table
from encoder.labellers.soundnet import SoundNetHeads, check_soundnet
from encoder.labellers.weight_file import read_tensors
from encoder.sound import SOUNDNET_LAYERS

HEADS = {"conv8": "objects", "conv8_2": "scenes"}
_NORM = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var"}


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What was written: where, from which layout, and how many bytes."""

    path: Path
    layout: str
    n_bytes: int


def convert(source: Path, target: Path) -> Converted:
    """Write SoundNet's weights in our layout.

    Parameters
    ----------
    source : a public `.npy`, `.pth` or `.safetensors` file.
    target : the `.safetensors` file to write; one that is there is replaced.

    Raises
    ------
    WeightsUnavailable : no such source.
    WeightsRefused : unsafe or unknown content, or a target of another suffix.
    LabellerDamaged, VocabularyMismatch : layers or heads of other sizes.
    """
    if target.suffix != ".safetensors":
        raise WeightsRefused(f"{target}: written as safetensors; give a name that ends so")
    layout, named = _read(source)
    tensors = {
        name: (value.float() if value.is_floating_point() else value).contiguous()
        for name, value in named.items()
    }
    check_soundnet(source, tensors, SoundNetHeads())
    _check_values(source, tensors)
    content = to_bytes(tensors)
    partial = target.with_name(f".{target.name}.part")
    partial.write_bytes(content)
    partial.replace(target)
    return Converted(path=target, layout=layout, n_bytes=len(content))


def _read(source: Path) -> tuple[str, dict[str, Tensor]]:
    if source.suffix == ".npy":
        try:
            return "sound8.npy", _from_table(source)
        except FileNotFoundError:
            raise WeightsUnavailable(f"{source}: no such file; check the path") from None
    tensors = read_tensors(source)
    if "conv1.0.weight" in tensors:
        return "SoundNet_Pytorch", _renamed(source, tensors, "conv{}.0", "conv{}.1", "conv8_2.0")
    if "batchnorm1.weight" in tensors:
        return "pytorch-soundnet", _renamed(
            source, tensors, "conv{}", "batchnorm{}", "conv8_scns", objects="conv8_objs"
        )
    raise WeightsRefused(
        f"{source}: none of the known layouts of SoundNet-8 (its first names are "
        f"{', '.join(sorted(tensors)[:3]) or 'none'}); give sound8.npy or sound8.pth"
    )


def _from_table(source: Path) -> dict[str, Tensor]:
    """Rename the layers of `sound8.npy` and turn its kernels (k, 1, in, out) round."""
    table = read_array_table(source)
    renamed: dict[str, Tensor] = {}
    for layer, (conv, norm) in _places().items():
        if layer not in table:
            raise WeightsRefused(f"{source}: layer {layer} is missing; give the 8-layer SoundNet")
        parts = {name: _tensor(values) for name, values in table[layer].items()}
        wanted = {"weights", "biases", *(_NORM if norm else ())}
        if differing := sorted(wanted ^ set(parts)):
            raise WeightsRefused(
                f"{source}: {layer}: {differing[0]} is missing or unknown; copy the file again"
            )
        kernel = parts["weights"]
        if kernel.ndim != 4 or kernel.shape[1] != 1:
            raise WeightsRefused(
                f"{source}: {layer} weights are {tuple(kernel.shape)}, not (k, 1, in, out)"
            )
        renamed[f"{conv}.weight"] = kernel[:, 0].permute(2, 1, 0)
        renamed[f"{conv}.bias"] = parts["biases"].flatten()
        if norm:
            renamed |= {f"{norm}.{ours}": parts[theirs].flatten() for theirs, ours in _NORM.items()}
            renamed[f"{norm}.num_batches_tracked"] = torch.tensor(0)
    return renamed


def _renamed(
    source: Path,
    tensors: dict[str, Tensor],
    conv_name: str,
    norm_name: str,
    scenes: str,
    *,
    objects: str | None = None,
) -> dict[str, Tensor]:
    """Rename a state dict's layers and drop the width of its kernels (out, in, k, 1)."""
    renamed: dict[str, Tensor] = {}
    for n, (layer, (conv, norm)) in enumerate(_places().items(), start=1):
        theirs = conv_name.format(n)
        if layer == "conv8":
            theirs = objects or theirs
        elif layer == "conv8_2":
            theirs = scenes
        names = [(f"{theirs}.{part}", f"{conv}.{part}") for part in ("weight", "bias")]
        if norm:
            bn = norm_name.format(n)
            names += [(f"{bn}.{part}", f"{norm}.{part}") for part in _NORM.values()]
            renamed[f"{norm}.num_batches_tracked"] = torch.tensor(0)
        for there, here in names:
            if there not in tensors:
                raise WeightsRefused(f"{source}: {there} is missing; give the whole state_dict()")
            value = tensors[there]
            is_kernel = value.ndim == 4 and value.shape[3] == 1
            renamed[here] = value[..., 0] if is_kernel else value
    return renamed


def _places() -> dict[str, tuple[str, str]]:
    """For each layer of the public files, the names of its convolution and norm in ours."""
    places: dict[str, tuple[str, str]] = {}
    at = 0
    for n, (*_, pool) in enumerate(SOUNDNET_LAYERS, start=1):
        places[f"conv{n}"] = (f"conv1_to_7.{at}", f"conv1_to_7.{at + 1}")
        at += 4 if pool > 1 else 3
    return places | {"conv8": ("conv8", ""), "conv8_2": ("scenes", "")}


def _tensor(values: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))


def _check_values(source: Path, tensors: dict[str, Tensor]) -> None:
    """Refuse what cannot be a trained SoundNet: NaN, or batch statistics that were never set."""
    for name, value in sorted(tensors.items()):
        if not torch.isfinite(value).all():
            raise WeightsRefused(f"{source}: {name} holds NaN or infinity; copy the file again")
    means = [value for name, value in tensors.items() if name.endswith("running_mean")]
    if not any(bool(value.any()) for value in means):
        raise WeightsRefused(
            f"{source}: every running mean is 0: the batch statistics were lost when it was made; "
            "give a file that has them"
        )


def main(arguments: list[str] | None = None) -> int:
    """Convert one file and say what was written; 2 where it cannot be done."""
    parser = argparse.ArgumentParser(
        prog="python -m encoder.labellers.convert",
        description="Convert SoundNet-8's public weights (.npy, .pth) to this project's layout.",
    )
    parser.add_argument("source", type=Path, help="sound8.npy or sound8.pth")
    parser.add_argument("target", type=Path, help="the .safetensors file to write")
    options = parser.parse_args(arguments)
    try:
        done = convert(options.source, options.target)
    except (EncoderError, OSError) as error:
        print(f"encoder.labellers.convert: error: {error}", file=sys.stderr)
        return 2
    print(f"{done.path}: {done.n_bytes / 1e6:.1f} MB, from the layout {done.layout}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
