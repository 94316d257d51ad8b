# mypy: disable-error-code="import-not-found"
"""Who quantizes. Values are normal, on a scale that puts a few in a thousand beyond the codes.

Torch's quantizers multiply by the reciprocal of the scale and so are compared with our ``division="reciprocal"``. On
x86 torch.quantize_per_tensor also fuses that product with the zero point: where the product would have been rounded to
a tie, two elements in a million here, its code may differ by one. What is rounded stochastically is not compared:
NumPy's random bits are others.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from refquant.bench import elementwise, elementwise_numpy
from refquant.bench.elementwise_numpy import ZERO_POINT
from refquant.bench.measure import Peer, nothing
from refquant.bench.rows import Case
from refquant.integers import Fixed, IntFormat, PhiloxRounding, dequantize, pack, quantize, requantize, unpack

SCALE, CHANNELS = np.float32(0.024), 64
MULTIPLIER, SHIFT = 1503238553, 41  # 0.7 * 2^-10: accumulators of 18 bits become codes of 8
S4, S8 = IntFormat(4), IntFormat(8)
HOW: dict[str, dict[str, Any]] = {  # besides scale and zero point
    "quantize half_away": {"rounding": "half_away"}, "quantize stochastic": {"rounding": PhiloxRounding(0, 1, 2)},
    "quantize per channel": {"axis": 0}}


def reals(case: Case) -> np.ndarray:
    """[channels, n], float32 or, of that operation, float64."""
    x = np.random.default_rng(0).standard_normal((CHANNELS, case.given["count"] // CHANNELS), np.float32)
    return x.astype(np.float64) if case.given["operation"] == "quantize float64" else x


def accumulators(case: Case) -> np.ndarray:
    shape = CHANNELS, case.given["count"] // CHANNELS
    return np.random.default_rng(0).integers(-(1 << 17), 1 << 17, shape).astype(np.int32)


def narrow(case: Case, bits: int) -> np.ndarray:
    """Codes, one-dimensional."""
    ends = 1 << (bits - 1)
    return np.random.default_rng(0).integers(-ends, ends, case.given["count"]).astype(np.int8)


def by_channel(case: Case, one: Any) -> np.ndarray:
    """``one`` for the first channel, down to half of it for the last, in its own type."""
    return (one * np.linspace(1, 0.5, CHANNELS)).astype(np.asarray(one).dtype)


def refquant_peers(case: Case, threads: int) -> list[Peer]:
    operation = case.given["operation"]
    if operation.startswith("requantize"):
        return [Peer(elementwise.OURS, "", lambda: _requantize(case), lambda codes: codes)]
    if operation == "dequantize":
        fixed = Fixed(narrow(case, 8), float(SCALE), S8, ZERO_POINT)
        return [Peer(elementwise.OURS, "", lambda: lambda: dequantize(fixed), float_bits)]
    if operation == "pack s4":
        return [Peer(elementwise.OURS, "", lambda: functools.partial(pack, narrow(case, 4), S4), lambda words: words)]
    if operation == "unpack s4":
        words = pack(narrow(case, 4), S4)
        return [Peer(elementwise.OURS, "", lambda: lambda: unpack(words, S4, case.given["count"]), lambda codes: codes)]
    found = [_quantize(elementwise.OURS, case, HOW.get(operation, {}))]
    return found if operation != "quantize" else [
        *found, _quantize(elementwise.RECIPROCAL, case, {"division": "reciprocal"})]


def _quantize(name: str, case: Case, how: dict[str, Any]) -> Peer:
    x, scale = reals(case), by_channel(case, SCALE) if "axis" in how else SCALE
    chance = "stochastic" in case.given["operation"]
    return Peer(name, "", lambda: lambda: quantize(x, scale, S8, zero_point=ZERO_POINT, **how),
                nothing if chance else lambda fixed: fixed.codes)


def _requantize(case: Case) -> Callable[[], np.ndarray]:
    acc, (_, flavour, *rounding) = accumulators(case), case.given["operation"].split(maxsplit=2)
    how: dict[str, Any] = {"flavour": flavour, "zero_point": ZERO_POINT}
    if rounding == ["per channel"]:
        how |= {"multiplier": by_channel(case, MULTIPLIER), "shift": np.full(CHANNELS, SHIFT), "axis": 0}
    elif flavour == "shift":
        how |= {"shift": 10, "rounding": rounding[0]}
    elif flavour.startswith("fp32"):
        how["scale"] = np.float32(MULTIPLIER / 2.0**SHIFT)
    else:
        lost = 8 if flavour == "rndnu" else 0  # its multipliers have 24 bits
        how |= {"multiplier": MULTIPLIER >> lost, "shift": SHIFT - lost}
    return lambda: requantize(acc, **how)


def numpy_peers(case: Case, threads: int) -> list[Peer]:
    operation = case.given["operation"]
    call, integers = _numpy_call(case)
    found = [Peer(elementwise.NUMPY, elementwise.OURS, lambda: call, integers)]
    if operation == "quantize":
        source, target = reals(case), np.zeros((CHANNELS, case.given["count"] // CHANNELS), np.float32)
        found.append(Peer(elementwise.COPY, "", lambda: lambda: np.copyto(target, source),
                          work=8 * case.given["count"] / 1e9))
    return found


def _numpy_call(case: Case) -> tuple[Callable[[], np.ndarray], Callable[[Any], np.ndarray | None]]:
    """NumPy's call, and what of its answer is compared."""
    operation = case.given["operation"]
    if operation.startswith("requantize"):
        return _numpy_requantize(case), _same
    if operation == "dequantize":
        q = narrow(case, 8)
        return lambda: elementwise_numpy.dequantize(q, SCALE), float_bits
    if operation == "pack s4":
        return functools.partial(elementwise_numpy.pack, narrow(case, 4)), _same
    if operation == "unpack s4":
        return functools.partial(elementwise_numpy.unpack, elementwise_numpy.pack(narrow(case, 4))), _same
    x, draw = reals(case), np.random.default_rng(0)
    return {"quantize": lambda: elementwise_numpy.quantize(x, SCALE),
            "quantize float64": lambda: elementwise_numpy.quantize(x, np.float64(SCALE)),
            "quantize per channel": lambda: elementwise_numpy.quantize(x, by_channel(case, SCALE)[:, None]),
            "quantize half_away": lambda: elementwise_numpy.quantize_half_away(x, SCALE),
            "quantize stochastic": lambda: elementwise_numpy.quantize_stochastic(x, SCALE, draw),
            }[operation], nothing if operation == "quantize stochastic" else _same


def _numpy_requantize(case: Case) -> Callable[[], np.ndarray]:
    acc, (_, *rest) = accumulators(case), case.given["operation"].split(maxsplit=1)
    scale, columns = np.float32(MULTIPLIER / 2.0**SHIFT), by_channel(case, MULTIPLIER)[:, None]
    return {"tosa_single": lambda: elementwise_numpy.single(acc, MULTIPLIER, SHIFT),
            "tosa_single per channel": lambda: elementwise_numpy.single(acc, columns, SHIFT),
            "tosa_double": lambda: elementwise_numpy.double(acc, MULTIPLIER, SHIFT, True),
            "ruy_double": lambda: elementwise_numpy.double(acc, MULTIPLIER, SHIFT, False),
            "mul16": lambda: elementwise_numpy.mul16(acc, MULTIPLIER, SHIFT),
            "rndnu": lambda: elementwise_numpy.single(acc, MULTIPLIER >> 8, SHIFT - 8),
            "fp32_rint": lambda: elementwise_numpy.fp32(acc, scale, False),
            "fp32_round": lambda: elementwise_numpy.fp32(acc, scale, True),
            "shift half_even": lambda: elementwise_numpy.shifted(acc, 10, "half_even"),
            "shift half_away": lambda: elementwise_numpy.shifted(acc, 10, "half_away"),
            "shift floor": lambda: elementwise_numpy.shifted(acc, 10, "floor")}[rest[0]]


def torch_peers(case: Case, threads: int) -> list[Peer]:
    import torch

    torch.set_num_threads(threads)
    if case.given["operation"] != "quantize":
        return []
    x, scale, inverse = torch.from_numpy(reals(case)), float(SCALE), float(np.float32(1) / SCALE)

    def peer(name: str, call: Callable[[], Any], integers: Callable[[Any], np.ndarray | None]) -> Peer:
        return Peer(name, elementwise.RECIPROCAL, lambda: call, integers)
    return [peer("torch.quantize_per_tensor", lambda: torch.quantize_per_tensor(x, scale, ZERO_POINT, torch.qint8),
                 lambda codes: codes.int_repr().numpy()),
            peer("torch clamp(round(x * inverse) + zero)",
                 lambda: torch.clamp(torch.round(x * inverse) + ZERO_POINT, -128, 127).to(torch.int8),
                 lambda codes: codes.numpy()),
            peer("torch.fake_quantize_per_tensor_affine",
                 lambda: torch.fake_quantize_per_tensor_affine(x, scale, ZERO_POINT, -128, 127), nothing)]


def float_bits(reals: np.ndarray) -> np.ndarray:
    """The bits of float32, as integers."""
    return np.ascontiguousarray(reals, np.float32).view(np.int32)


def _same(codes: np.ndarray) -> np.ndarray:
    return codes


PEERS = {"refquant": refquant_peers, "torch": torch_peers, "numpy": numpy_peers}
