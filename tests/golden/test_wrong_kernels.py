"""Matrix products and convolutions with known mistakes: the report must name the mistake, and nothing else.

The kernels are written here from the equations; nothing of refquant computes their answers. Each has knobs, one a
mistake, and is right when none is turned.
"""
import importlib
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from refquant.golden import Unsupported

sys.path.insert(0, str(Path(__file__).parents[2] / "chapters/kernels"))
numpy_gemm = importlib.import_module("numpy_gemm")


def wide(case, name):
    """Codes less their zero point, int64."""
    return case.inputs[name].astype(np.int64) - case.attrs[f"{name}_zero_point"]


def finished(case, acc, axis):
    """The accumulators, wrapped and requantized by channels along ``axis``."""
    attrs, bits = case.attrs, case.attrs["accumulator_bits"]
    if attrs["accumulator_overflow"] != "wrap":
        raise Unsupported("saturating accumulators")
    half = 1 << (bits - 1)
    acc = ((acc + half) & (2 * half - 1)) - half
    if attrs["flavour"] == "none":
        return {"y": acc.astype(case.outputs["y"][1])}
    if (attrs["flavour"] not in ("tosa_single", "tosa_double", "ruy_double") or attrs["overflow"] != "saturate"
            or attrs["zero_point_at"] != "after"):
        raise Unsupported("this requantization")
    codes = numpy_gemm.requantize(np.moveaxis(acc, axis, -1), attrs, case.inputs["multiplier"], case.inputs["shift"])
    return {"y": np.moveaxis(codes, -1, axis)}


def gemm_dx(case, w_without_zero_point=False, w_leading_n=False, terms=None, stuck=None):
    g, w = wide(case, "g"), wide(case, "w")
    if w_leading_n:
        w = np.array([w.reshape(-1)[j::len(w)] for j in range(len(w))])
    if w_without_zero_point:
        w = case.inputs["w"].astype(np.int64)
    answer = finished(case, g[:, :terms] @ w[:, :terms].T, 1)
    if stuck is not None:
        answer["y"][0, 1] = stuck
    return answer


def gemm_dw(case, rows=None, next_scale=False, written_transposed=False):
    if next_scale:
        for name in {"multiplier", "shift"} & set(case.inputs):
            case.inputs[name] = np.roll(case.inputs[name], -1)
    answer = finished(case, wide(case, "x")[:rows].T @ wide(case, "g")[:rows], 1)
    if written_transposed:
        answer["y"] = answer["y"].reshape(-1, order="F").reshape(answer["y"].shape)
    return answer


def gemm_db(case, rows=None, g_without_zero_point=False):
    g = case.inputs["g"].astype(np.int64) if g_without_zero_point else wide(case, "g")
    return finished(case, g[:rows].sum(0), 0)


# Convolutions, one kernel element after the other.


def patches(case, x, kernel, pad_code=0, swapped=False, strides_swapped=False):
    """For every kernel element (i, j) the view of padded ``x`` that it meets, [B, C, OH, OW]."""
    attrs = case.attrs
    (sh, sw), (dh, dw), (top, bottom, left, right) = attrs["stride"], attrs["dilation"], attrs["padding"]
    if swapped:
        (sh, sw), (dh, dw) = (dh, dw), (sh, sw)
    if strides_swapped:
        sh, sw = sw, sh
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=pad_code)
    kh, kw = kernel
    rows, columns = (x.shape[2] - dh * (kh - 1) - 1) // sh + 1, (x.shape[3] - dw * (kw - 1) - 1) // sw + 1
    for i in range(kh):
        for j in range(kw):
            yield i, j, x[:, :, i * dh:i * dh + sh * (rows - 1) + 1:sh, j * dw:j * dw + sw * (columns - 1) + 1:sw]


def group_of(array, axis, group, groups):
    size = array.shape[axis] // groups
    return array.take(range(group * size, (group + 1) * size), axis)


def conv_forward(case, rotated=False, pad_with_code_0=False, **geometry):
    x, w, groups = wide(case, "x"), wide(case, "w"), case.attrs["groups"]
    pad_code = -case.attrs["x_zero_point"] if pad_with_code_0 else 0
    if rotated:
        w = w[:, :, ::-1, ::-1]
    y = 0
    for i, j, patch in patches(case, x, w.shape[2:], pad_code, **geometry):
        y = y + np.concatenate([np.einsum("bcpq,oc->bopq", group_of(patch, 1, group, groups),
                                          group_of(w, 0, group, groups)[:, :, i, j]) for group in range(groups)], 1)
    if y.shape != case.outputs["y"][0]:
        raise Unsupported("a shape that the mistake changes")
    if "bias" in case.inputs:
        y = y + case.inputs["bias"].astype(np.int64)[:, None, None]
    return finished(case, y, 1)


def conv_dx(case, not_rotated=False, channels=None):
    g, w, groups = wide(case, "g"), wide(case, "w"), case.attrs["groups"]
    size = case.outputs["y"][0]
    if not_rotated:
        w = w[:, :, ::-1, ::-1]
    if channels is not None:
        g[:, channels:] = 0
    dx = np.zeros(size, np.int64)
    flat = dx.reshape(*size[:2], -1)
    places = np.arange(size[2] * size[3]).reshape(1, 1, *size[2:]) + 1  # padding is place 0
    for i, j, met in patches(case, places, w.shape[2:]):
        part = np.concatenate([np.einsum("bopq,oc->bcpq", group_of(g, 1, group, groups),
                                         group_of(w, 0, group, groups)[:, :, i, j]) for group in range(groups)], 1)
        inside = met[0, 0] > 0
        flat[:, :, met[0, 0][inside] - 1] += part[:, :, inside]
    return finished(case, dx, 1)


def conv_dw(case, rotated=False, images=None, **geometry):
    x, g, groups = wide(case, "x")[:images], wide(case, "g")[:images], case.attrs["groups"]
    dw = np.zeros(case.outputs["y"][0], np.int64)
    for i, j, patch in patches(case, x, dw.shape[2:], **geometry):
        dw[:, :, i, j] = np.concatenate([np.einsum("bcpq,bopq->oc", group_of(patch, 1, group, groups),
                                                   group_of(g, 1, group, groups)) for group in range(groups)])
    return finished(case, dw[:, :, ::-1, ::-1] if rotated else dw, 0)


def conv_db(case, images=None):
    return finished(case, wide(case, "g")[:images].sum((0, 2, 3)), 0)


@pytest.mark.parametrize("kernel", [gemm_dx, gemm_dw, gemm_db, conv_forward, conv_dx, conv_dw, conv_db])
def test_the_right_kernel_passes(report_on, kernel):
    report = report_on(f"{kernel.__name__}_*", kernel)
    assert report.count("pass") >= 13 and report.count("fail") == report.count("error") == 0


@pytest.mark.parametrize("kernel, mistakes, expected", [
    (gemm_dx, {"terms": -1}, {"last_term_dropped"}),
    (gemm_dx, {"w_without_zero_point": True}, {"w_zero_point_omitted"}),
    (gemm_dx, {"w_leading_n": True}, {"w_not_transposed"}),
    (gemm_dw, {"rows": -1}, {"last_term_dropped"}),
    (gemm_dw, {"written_transposed": True}, {"result_transposed"}),
    (gemm_dw, {"next_scale": True}, {"next_channel"}),
    (gemm_db, {"rows": -1}, {"last_term_dropped"}),
    (gemm_db, {"g_without_zero_point": True}, {"g_zero_point_omitted"}),
    (conv_forward, {"rotated": True}, {"kernel_rotated"}),
    (conv_forward, {"pad_with_code_0": True}, {"padding_with_code_0"}),
    (conv_forward, {"swapped": True}, {"stride_dilation_swapped"}),
    (conv_forward, {"strides_swapped": True}, {"stride_transposed"}),
    (conv_dx, {"not_rotated": True}, {"kernel_not_rotated"}),
    (conv_dx, {"channels": -1}, {"last_channel_dropped"}),
    (conv_dw, {"rotated": True}, {"kernel_rotated"}),
    (conv_dw, {"images": -1}, {"last_image_dropped"}),
    (conv_dw, {"images": 1}, {"first_image_only"}),
    (conv_db, {"images": 1}, {"first_image_only"}),
    (conv_db, {"images": -1}, {"last_image_dropped"}),
    # two at once
    (gemm_dx, {"terms": -1, "w_without_zero_point": True}, {"last_term_dropped", "w_zero_point_omitted"}),
    (conv_forward, {"rotated": True, "pad_with_code_0": True}, {"kernel_rotated", "padding_with_code_0"}),
    (conv_dx, {"not_rotated": True, "channels": -1}, {"kernel_not_rotated", "last_channel_dropped"}),
])
def test_the_mistake_is_named(named, kernel, mistakes, expected):
    assert named(f"{kernel.__name__}_*", partial(kernel, **mistakes)) == expected


def test_an_unknown_mistake_is_not_given_a_name(report_on, named):
    """One element that never changes is none of the mutants: its place is reported, and no cause."""
    stuck = partial(gemm_dx, stuck=17)
    assert named("gemm_dx_*", stuck, seconds=5) == set()
    failing = [result for result in report_on("gemm_dx_*", stuck).results if result.status == "fail"]
    assert {result.tensors[0].first[0].index for result in failing} == {(0, 1)}
