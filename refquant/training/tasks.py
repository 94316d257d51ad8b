"""What a model is asked: which class an image is of, or the image at twice the size.

    classification     input: the image's 8-bit codes        loss: cross-entropy            score: accuracy in per cent
    super-resolution   input: means of 2 x 2 pixels, codes   loss: mean squared error       score: PSNR in dB

    PSNR = 10 log10(1 / mean squared error), brightest pixel 1
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refquant.autodiff import Tensor, mean_squared_error, one_hot, softmax_cross_entropy
from refquant.integers import Fixed, IntFormat
from refquant.reals import log, mean
from refquant.training.data import Dataset


@dataclass(frozen=True)
class Classification:
    """Labels from images; smoothing: the share of a target that all classes get."""

    data: Dataset
    smoothing: float = 0.0
    unit = "%"

    def input(self, x: np.ndarray) -> Tensor:
        return image_codes(x, self.data.brightest)

    def loss(self, out: Tensor, x: np.ndarray, y: np.ndarray) -> Tensor:
        return softmax_cross_entropy(out, one_hot(y, self.data.classes, self.smoothing))

    def scores(self, out: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """100 for each image that is right, else 0."""
        return np.where(out.argmax(1) == y, 100.0, 0.0)


@dataclass(frozen=True)
class SuperResolution:
    """Images from their own halves; images of odd height or width lose their last row or column."""

    data: Dataset
    unit = "dB"

    def input(self, x: np.ndarray) -> Tensor:
        x = self._even(x).astype(np.int64)
        total = x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]
        return image_codes((total + 2) // 4, self.data.brightest)  # rounded half up

    def loss(self, out: Tensor, x: np.ndarray, y: np.ndarray) -> Tensor:
        return mean_squared_error(out, self.data.reals(self._even(x)))

    def scores(self, out: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The PSNR of each image."""
        difference = out - self.data.reals(self._even(x))
        error = mean(difference * difference, (1, 2, 3))
        return -10 / float(log(10.0)) * log(np.where(error > 0, error, 1e-12))

    @staticmethod
    def _even(x: np.ndarray) -> np.ndarray:
        return x[:, :, :x.shape[2] // 2 * 2, :x.shape[3] // 2 * 2]


def image_codes(x: np.ndarray, brightest: int) -> Tensor:
    """Images as the unsigned 8-bit integers that they are, of scale 1 / brightest."""
    return Tensor(Fixed(x.astype(np.uint8), 1 / brightest, IntFormat(8, signed=False)))


def task(data: Dataset, model: str, smoothing: float = 0.0) -> Classification | SuperResolution:
    """What ``model`` is asked of ``data``."""
    return SuperResolution(data) if model == "edsr" else Classification(data, smoothing)
