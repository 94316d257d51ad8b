"""Every number that the papers' released code answers, to 1e-9 relative, every key of every file.

REFQUANT_ORACLES names another directory of such files. A file that no rule below answers, a key that no rule uses and
an answer that no file checks are failures.
"""
import os
import re
from pathlib import Path

import numpy as np
import pytest

from refquant.autodiff import (
    Tensor,
    add,
    conv,
    dequantize,
    gradients,
    linear,
    per_channel,
    quantize_gradient,
    range_batch_norm,
)
from refquant.autodiff.normalization import AUTHORS_FACTOR, range_statistics
from refquant.autodiff.values import reals
from refquant.gemm import Geometry
from refquant.quantizers import banner, int4, n2uq, sat
from refquant.quantizers.grid import Dithered

ORACLES = Path(os.environ.get("REFQUANT_ORACLES") or Path(__file__).parent / "oracles")
FILES = sorted(ORACLES.glob("*.npz"))
SAME = Geometry(padding=1)  # 3 x 3 kernels


def authors(x, bits, ends=None, op=banner.banner_quantize):
    low, high = banner.tensor_range(x.value if isinstance(x, Tensor) else x) if ends is None else ends
    return op(x, range_min=low, range_max=high, bits=bits, variant="authors")


def backward(y, named, gy):
    """The gradients of each tensor of ``named``, by name."""
    return dict(zip(named, gradients(y, named.values(), gy), strict=True))


def minmax(x, bits, min_value, max_value):
    return {"dequantized": authors(x, int(bits), (min_value, max_value)).value}


def measure(x, bits, momentum):
    low, high = banner.per_sample_range(x)
    return {"dequantized": authors(x, int(bits), (low, high)).value,
            "running_min": [banner.update_running(0.0, low, momentum)],
            "running_max": [banner.update_running(0.0, high, momentum)]}


def rangebn(x, weight, bias, num_chunks, eps, gy, momentum, bits):
    bits, how = int(bits), {"eps": float(eps), "chunks": int(num_chunks), "factor": AUTHORS_FACTOR}
    leaves = {"gx": Tensor(x), "gweight": Tensor(weight), "gbias": Tensor(bias)}
    inner, gamma, beta = leaves.values()
    if bits:
        inner = dequantize(authors(inner, bits, banner.per_sample_range(x)))
        gamma, beta = dequantize(authors(gamma, bits)), dequantize(authors(beta, bits))
        how["quantize_scale"] = lambda scale: reals(authors(scale, bits))
    y = range_batch_norm(inner, gamma, beta, **how)
    mu, scale = range_statistics(inner.value, how["eps"], how["chunks"], AUTHORS_FACTOR)
    if bits:
        y = quantize_gradient(y, quantizer=lambda g: authors(g, bits))
    return {"y": y.value, "running_mean": banner.update_running(0.0, mu, momentum),
            "running_scale": banner.update_running(0.0, scale, momentum), **backward(y, leaves, gy)}


def bifurcation_conv(x, w, stride, padding, bits_grad, gy):
    leaves = {"gx": Tensor(x), "gw": Tensor(w)}
    y = conv(*leaves.values(), geometry=Geometry(int(stride), int(padding)),
             input_gradient=lambda g: authors(g, int(bits_grad)))
    return {"y": y.value, **backward(y, leaves, gy)}


def bifurcation_linear(x, w, b, bits_grad, gy):
    leaves = {"gx": Tensor(x), "gw": Tensor(w), "gb": Tensor(b)}
    y = linear(leaves["gx"], leaves["gw"], input_gradient=lambda g: authors(g, int(bits_grad)))
    y = add(y, per_channel(leaves["gb"], y))
    return {"y": y.value, **backward(y, leaves, gy)}


def sat_grid(scheme):
    return lambda u, bits: {"q": sat.q_k(u, bits=int(bits), scheme=scheme).value}


def sat_layer(kind, scheme, rescale):
    def layer(x, weight, alpha, bits, gy):
        leaves = {"gx": Tensor(x), "gweight": Tensor(weight), "galpha": Tensor(alpha)}
        w = sat.sat_weight(leaves["gweight"], bits=int(bits), scheme=scheme,
                           rescale=None if rescale == "none" else rescale, variant="authors")
        inner = sat.pact(leaves["gx"], leaves["galpha"], bits=int(bits))
        y = linear(inner, w) if kind == "linear" else conv(inner, w, geometry=SAME)
        return {"y": y.value, **backward(y, leaves, gy)}
    return layer


def n2uq_act(x, bits, a, start, scale1, scale2, interval, eps, gy):
    assert np.isclose(interval, 2 / (2**int(bits) - 1), rtol=1e-12)
    leaves = {"gx": Tensor(x), "ga": Tensor(a), "gstart": Tensor(start), "gscale1": Tensor(scale1),
              "gscale2": Tensor(scale2)}
    y = dequantize(n2uq.n2uq_quantize(*leaves.values(), bits=int(bits), eps=float(eps), variant="authors"))
    return {"y": y.value, **backward(y, leaves, gy)}


def n2uq_conv(x, weight, clip_val, bits, gy):
    assert np.all(clip_val == 2)  # the width of [-1, 1]; it is not learned
    leaves = {"gx": Tensor(x), "gweight": Tensor(weight), "gclip": Tensor(0.0)}
    y = conv(leaves["gx"], n2uq.n2uq_weight(leaves["gweight"], bits=int(bits), variant="authors"), geometry=SAME)
    return {"y": y.value, **backward(y, leaves, gy)}


def int4_grad(g, noise, bits, gamma):
    return {"quantized": int4.int4_gradient(g, clip_factor=float(gamma), bits=int(bits), rounding=Dithered(noise)).value}


class InFloat32:
    """An answer that the released code holds in float32 as a sum of terms: each term may be off by half a unit."""

    def __init__(self, answer, *terms):
        self.answer, self.allowed = answer, 2.0**-23 * sum(abs(float(np.sum(term))) for term in terms)


def int4_conv(signed):
    def layer(x, weight, clip_weight, clip_act, bits, gy):
        leaves = {"gx": Tensor(x), "gweight": Tensor(weight), "gclip_weight": Tensor(clip_weight),
                  "gclip_act": Tensor(clip_act)}
        w = int4.int4_weight(leaves["gweight"], leaves["gclip_weight"], bits=int(bits))
        inner = int4.int4_activation(leaves["gx"], leaves["gclip_act"], bits=int(bits), signed=signed)
        y = conv(inner, w, geometry=SAME)
        answers = {"y": y.value, **backward(y, leaves, gy)}
        # it adds up  g * levels  and  -g * x / clip  inside, and they cancel
        for key, quantized, clip in (("gclip_weight", w, clip_weight), ("gclip_act", inner, clip_act)):
            levels = np.sum(gradients(y, [quantized], gy)[0] * quantized.value.value / clip)
            answers[key] = InFloat32(answers[key], levels, answers[key] - levels)
        for key, clip in (("clip_weight_init", int4.initial_clip(weight)),
                          ("clip_act_init", int4.initial_clip(x, half_normal=not signed))):
            answers[key] = InFloat32(clip, clip)
        return answers
    return layer


RULES = {
    r"banner_minmax_w\d+": lambda: minmax,
    r"banner_measure_a\d+": lambda: measure,
    r"banner_rangebn_(?:float|int\d+)_chunk\d+": lambda: rangebn,
    r"banner_bifurcation_conv_g\d+": lambda: bifurcation_conv,
    r"banner_bifurcation_linear_g\d+": lambda: bifurcation_linear,
    r"sat_qk_(original|modified|centered)_\d+": sat_grid,
    r"sat_(linear|conv)_(original|modified|centered)_(none|constant|stddev)_\d+": sat_layer,
    r"n2uq_act_\d+": lambda: n2uq_act,
    r"n2uq_conv_\d+": lambda: n2uq_conv,
    r"int4_grad_b\d+_gamma\d+": lambda: int4_grad,
    r"int4_conv_(signed|unsigned)_b\d+": lambda kind: int4_conv(kind == "signed"),
}


def test_there_are_oracles():
    assert FILES, f"{ORACLES} holds no .npz files"


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_oracle(path):
    rules = [(rule, match) for pattern, rule in RULES.items() if (match := re.fullmatch(pattern, path.stem))]
    assert len(rules) == 1, f"{path.name}: expected a name that one rule answers"
    rule = rules[0][0](*rules[0][1].groups())
    with np.load(path, allow_pickle=False) as file:
        given = dict(file)
    inputs = rule.__code__.co_varnames[:rule.__code__.co_argcount]
    answers = rule(**{key: given[key] for key in inputs})
    assert set(given) == set(inputs) | set(answers), "every key is an input or an answer"
    for key, answer in answers.items():
        equal(answer, given[key], key)


def equal(answer, expected, key):
    if isinstance(answer, InFloat32) and expected.dtype == np.float32:
        assert np.size(answer.answer) == 1 and np.all(np.abs(answer.answer - expected) <= answer.allowed), key
        return
    answer = np.asarray(answer.answer if isinstance(answer, InFloat32) else answer)
    assert answer.shape == expected.shape, key
    largest = np.max(np.abs(expected), initial=0.0)
    np.testing.assert_allclose(answer, expected, rtol=1e-9, atol=1e-12 * largest, err_msg=key)
