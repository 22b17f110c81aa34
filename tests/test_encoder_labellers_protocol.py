"""The ten best labels, their ties, and pairs that must share a vocabulary."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from encoder.errors import CheckpointError, InputError, WeightsUnavailable
from encoder.labellers import LabellerPair, Vocabulary, load_labellers
from encoder.labellers.errors import LabellerDamaged, VocabularyMismatch, WeightsRefused
from encoder.labellers.protocol import Labelled, Modality, best_labels

THREE = Vocabulary("three", ("bell", "car", "dog"))


class Says:
    """A labeller that says nothing but what it is."""

    version, rate_hz = "0", 0

    def __init__(self, modality: Modality, vocabulary: Vocabulary) -> None:
        self.name, self.modality, self.vocabulary = f"says-{modality}", modality, vocabulary

    def prepare(self, decoded: NDArray[Any]) -> NDArray[Any]:
        return decoded

    def label(self, prepared: Sequence[NDArray[Any]]) -> Labelled:
        ids = np.arange(len(self.vocabulary), dtype=np.int32)
        return best_labels(np.zeros((len(prepared), len(ids))), ids)


def test_softmax_by_hand() -> None:
    said = best_labels(np.log([[1.0, 2.0, 5.0]]), np.array([4, 6, 9], np.int32))
    assert said.ids[0].tolist() == [9, 6, 4] + [-1] * 7
    np.testing.assert_allclose(said.scores[0, :3], [5 / 8, 2 / 8, 1 / 8], rtol=1e-6)
    assert (said.scores[0, 3:] == 0).all()
    assert said.ids.dtype == np.int32
    assert said.scores.dtype == np.float32


@given(st.lists(st.sampled_from([-50.0, 0.0, 0.5, 1000.0]), min_size=1, max_size=30))
def test_ten_best_against_a_sorted_twin(logits: list[float]) -> None:
    ids = np.arange(len(logits), dtype=np.int32) * 3
    said = best_labels(np.array([logits]), ids)
    twin = sorted(range(len(logits)), key=lambda k: (-logits[k], k))[:10]
    assert said.ids[0, : len(twin)].tolist() == [3 * k for k in twin], "ties by ascending id"
    assert (said.ids[0, len(twin) :] == -1).all()
    assert np.isfinite(said.scores).all()
    assert said.scores.sum() <= 1 + 1e-5


def test_no_item_and_nan() -> None:
    assert best_labels(np.zeros((0, 3)), np.arange(3, dtype=np.int32)).ids.shape == (0, 10)
    with pytest.raises(InputError, match="NaN"):
        best_labels(np.array([[0.0, np.nan]]), np.arange(2, dtype=np.int32))


def test_a_pair_speaks_one_vocabulary() -> None:
    pair = LabellerPair(name="p", image=Says("image", THREE), audio=Says("audio", THREE))
    assert pair.vocabulary == THREE
    assert pair.version == "0+0"
    for other in (Vocabulary("other", THREE.names), Vocabulary("three", THREE.names[::-1])):
        with pytest.raises(VocabularyMismatch, match=r"says-image .* says-audio"):
            LabellerPair(name="p", image=Says("image", THREE), audio=Says("audio", other))
    with pytest.raises(VocabularyMismatch, match="one of frames and one of sounds"):
        LabellerPair(name="p", image=Says("audio", THREE), audio=Says("image", THREE))


def test_errors_are_checkpoint_errors_so_that_exit_codes_hold() -> None:
    for error in (LabellerDamaged, VocabularyMismatch, WeightsRefused):
        assert issubclass(error, CheckpointError)


def test_pairs_that_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown"):
        load_labellers("best")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="bring their weights"):
        load_labellers("shipped", audio_weights=tmp_path / "s.safetensors")
    with pytest.raises(LabellerDamaged, match="no labeller here"):
        load_labellers(tmp_path)
    with pytest.raises(WeightsUnavailable, match=r"encoder\.labellers\.convert"):
        load_labellers("paper")


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, encoder.labellers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
