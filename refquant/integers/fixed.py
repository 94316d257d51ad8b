"""Integer tensors with an explicit format.

    value = scale * (codes - zero_point)
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refquant.integers.formats import IntFormat, as_int64, as_integers, extremes
from refquant.integers.kernels import worth_compiling


@dataclass(frozen=True, eq=False)
class Fixed:
    """Codes with what they mean: the reals ``scale * (codes - zero_point)``.

    codes : integers of ``format``, any shape; stored in the format's dtype.
    scale : positive and finite; one number, or with ``axis`` one for each index along it [C]; float32, else float64.
    format : `IntFormat`.
    zero_point : the code that means 0; one integer, or with ``axis`` one for each index [C]. It may lie outside the
        format (then 0 is no code), but within int32.
    axis : None for per tensor, else the axis along which scale and zero_point run (per channel).

    Raises
    ------
    TypeError
        When codes or zero_point are not integers.
    ValueError
        When a code is outside the format, a zero point outside int32, a scale is not positive and finite, or a shape
        does not fit ``axis``.

    Source: the affine scheme of google/gemmlowp, doc/quantization.md; ONNX DequantizeLinear gives the same reals.
    """

    codes: np.ndarray
    scale: float | np.ndarray
    format: IntFormat
    zero_point: int | np.ndarray = 0
    axis: int | None = None

    def __post_init__(self):
        codes = as_integers(self.codes, "codes")
        if not self.format.contains(codes):
            raise ValueError(f"codes run from {codes.min()} to {codes.max()}: {self.format} holds "
                             f"{self.format.qmin} to {self.format.qmax}")
        axis = check_axis(self.axis, codes.ndim)
        scale = check_scale(self.scale)
        zero_point = check_zero_point(self.zero_point)
        for name, array in (("scale", scale), ("zero_point", zero_point)):
            allowed = "one number" if axis is None else f"one number, or {codes.shape[axis]} along axis {axis}"
            if array.ndim and (axis is None or array.shape != (codes.shape[axis],)):
                raise ValueError(f"{name} has shape {array.shape}: expected {allowed} for codes of shape {codes.shape}")
        self._set(codes.astype(self.format.dtype, copy=False), scale, self.format, zero_point, axis)

    @classmethod
    def trusted(cls, codes: np.ndarray, scale: np.ndarray, format: IntFormat, zero_point: np.ndarray,
                axis: int | None) -> Fixed:
        """The tensor of arguments that were checked before, and of codes that are the format's by construction."""
        fixed = object.__new__(cls)
        fixed._set(codes, scale, format, zero_point, axis)
        return fixed

    def _set(self, codes, scale, format, zero_point, axis) -> None:
        for name, value in (("codes", codes), ("scale", scale if scale.ndim else scale[()]), ("format", format),
                            ("zero_point", zero_point if zero_point.ndim else int(zero_point)), ("axis", axis)):
            object.__setattr__(self, name, value)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the codes."""
        return self.codes.shape

    @property
    def value(self) -> np.ndarray:
        """The reals the codes stand for, float64, of the codes' shape."""
        scale, zero_point = np.asarray(self.scale, np.float64), np.asarray(self.zero_point)
        if self.format.bits <= 62 or (self.format.signed and not zero_point.any()):
            return self._times(scale, zero_point)
        difference = self.codes.astype(object) - along(zero_point, self.axis, self.codes.ndim).astype(object)
        return along(scale, self.axis, self.codes.ndim) * difference.astype(np.float64)  # it may not fit int64

    def in_precision(self, dtype) -> np.ndarray:
        """The reals in ``dtype``, float32 or float64, the difference rounded to it first. For at most 32 bits.

        Raises ValueError for a scale that is not positive and finite in it.
        """
        with np.errstate(over="ignore"):
            return self._times(check_scale(self.scale, dtype), np.asarray(self.zero_point))

    def _times(self, scale: np.ndarray, zero_point: np.ndarray) -> np.ndarray:
        """``scale * (codes - zero_point)`` in scale's precision."""
        if worth_compiling(self.codes.size):
            from refquant.integers.kernels.serving import real_values  # imports Numba

            values = real_values(self.codes, scale, zero_point, self.axis)
            if values is not None:
                return values
        difference = self.codes.astype(np.int64) - along(zero_point, self.axis, self.codes.ndim)
        return difference.astype(scale.dtype) * along(scale, self.axis, self.codes.ndim)


def check_scale(scale, dtype=None) -> np.ndarray:
    """``scale``, at most one-dimensional, in ``dtype`` (float32 stays and the rest becomes float64, unless given).

    A ValueError names the first that is not positive and finite, there.
    """
    array = np.asarray(scale)
    dtype = dtype or (np.float32 if array.dtype == np.float32 else np.float64)
    if array.dtype != dtype:
        try:
            with np.errstate(over="ignore"):
                array = array.astype(dtype)
        except (TypeError, ValueError):
            raise ValueError(f"scale = {scale!r}: expected positive finite numbers") from None
    if array.ndim == 0 and 0 < array.item() < np.inf:
        return array
    good = (array > 0) & (array < np.inf)
    if not good.all():
        given = np.asarray(scale)[~good].flat[0]
        raise ValueError(f"scale = {given}: expected a positive finite number in {array.dtype}")
    if array.ndim > 1:
        raise ValueError(f"scale has shape {array.shape}: expected one number or one for each channel")
    return array


def check_zero_point(zero_point) -> np.ndarray:
    """``zero_point`` as int64, or an error when it is not integers within int32."""
    array = as_int64(zero_point, "zero_point")
    low, high = extremes(array)
    if low < -(1 << 31) or high >= 1 << 31:
        raise ValueError(f"zero_point runs from {low} to {high}: expected values within int32")
    return array


def check_axis(axis: int | None, ndim: int) -> int | None:
    """``axis`` counted from the front, or a ValueError."""
    if axis is None:
        return None
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis = {axis}: expected {-ndim} to {ndim - 1} for {ndim} dimensions")
    return axis % ndim


def along(array: np.ndarray, axis: int | None, ndim: int) -> np.ndarray:
    """A per-channel vector shaped so that it broadcasts along ``axis`` of ``ndim`` dimensions; a number stays."""
    if array.ndim == 0 or axis is None:
        return array
    return array.reshape([-1 if d == axis else 1 for d in range(ndim)])
