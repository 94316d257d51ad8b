"""n2uq.backward: G-STE in integers: the gradients of the input and of everything that N2UQ's activations learn.

Segment k holds d_{k-1} <= acc < d_k (reached "at_or_above") or d_{k-1} < acc <= d_k ("above"); P_k and M_k are its sums
of g and of g (acc - d_{k-1}), mid_sums and mid_moments; `refquant.hardware.n2uq` has the equations and the units.
"""
from __future__ import annotations

import functools
import operator

import numpy as np

from refquant.golden import schema
from refquant.golden.families import n2uq_gradient_mutants
from refquant.golden.families import n2uq_stimuli as of
from refquant.golden.families.remembering import remembering
from refquant.golden.operation import Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.hardware import n2uq
from refquant.integers.formats import IntFormat
from refquant.scalar import n2uq as scalar
from refquant.scalar.steps import silent

ATTRIBUTES = {"g_format": schema.FORMAT, "acc_format": schema.FORMAT, "dx_format": schema.FORMAT,
              "bits": schema.integer(2, 8), "fraction_bits": schema.integer(0, 29),
              "reached": {"enum": list(of.REACHED)}, "rounding": schema.ROUNDING}
S48, S64, U8 = IntFormat(48), IntFormat(64), IntFormat(8, signed=False)
NAMES = {"dx": "out_dx", "da": "out_da", "dstart": "out_dstart", "dscale1": "out_dscale1", "dscale2": "out_dscale2",
         "sums": "mid_sums", "moments": "mid_moments"}


def tensors(attrs):
    return {"in_g": IntFormat.parse(attrs["g_format"]), "in_acc": IntFormat.parse(attrs["acc_format"]),
            "in_thresholds": of.S32, "in_bounds": of.S32, "in_multiplier": of.S32, "in_shift": U8,
            "mid_sums": S48, "mid_moments": S64, "out_dx": IntFormat.parse(attrs["dx_format"]), "out_da": S64,
            "out_dstart": S64, "out_dscale1": S64, "out_dscale2": S48}


def reference(attrs, inputs):
    found = n2uq.backward(
        inputs["in_g"], inputs["in_acc"], inputs["in_thresholds"], inputs["in_bounds"], inputs["in_multiplier"],
        inputs["in_shift"], bits=attrs["bits"], fraction_bits=attrs["fraction_bits"], reached=attrs["reached"],
        dx_format=IntFormat.parse(attrs["dx_format"]), rounding=attrs["rounding"])
    return {NAMES[field]: array for field, array in found._asdict().items()}


def element(attrs, inputs, tensor, index, note):
    if tensor == "out_dx":
        g, acc = (functools.reduce(operator.getitem, index, inputs[name]) for name in ("in_g", "in_acc"))
        return {tensor: scalar.input_gradient(
            g, acc, inputs["in_bounds"], inputs["in_multiplier"], inputs["in_shift"], reached=attrs["reached"],
            dx_format=attrs["dx_format"], rounding=attrs["rounding"], note=note)}
    whole = _all_sums(attrs, inputs) if note is silent else _sums_over_all(attrs, inputs, tensor, note)
    return {tensor: whole[tensor][index[0]]}


def _sums_over_all(attrs, inputs, tensor, note) -> dict[str, list[int]]:
    """Everything but dx, by the scalar model; it tells the steps to ``tensor``."""
    g, acc = (np.ravel(inputs[name]).tolist() for name in ("in_g", "in_acc"))
    if tensor == "out_dscale2":
        total = scalar.output_scale_gradient(g, acc, inputs["in_thresholds"][0], attrs["reached"], note=note)
        return {tensor: [total]}
    sums, moments = scalar.sums(g, acc, inputs["in_bounds"], attrs["reached"], note=note)
    da, dstart, dscale1 = scalar.parameter_gradients(sums, moments, inputs["in_bounds"], attrs["fraction_bits"],
                                                     note=note)
    return {"mid_sums": sums, "mid_moments": moments, "out_da": da, "out_dstart": [dstart], "out_dscale1": [dscale1]}


@remembering
def _all_sums(attrs, inputs) -> dict[str, list[int]]:
    """All of them, without a word."""
    return (_sums_over_all(attrs, inputs, "out_da", silent)
            | _sums_over_all(attrs, inputs, "out_dscale2", silent))


def stimuli(level, seed):
    every = np.arange(-128, 128, dtype=np.int8)
    halves = np.array([-11, -9, -5, -3, 5, 7, 11, 13], np.int32)  # lengths of powers of two: half of dx ties
    walk = (np.arange(256) * 7 % 31 - 14).astype(np.int8)
    for index, rounding in enumerate(n2uq_gradient_mutants.ROUNDINGS):
        yield _case("ties", every, walk, halves, 3, of.REACHED[index % 2], "s8", "s8", "s16", 0, rounding)
    for reached in of.REACHED:
        draw = Draw(seed, f"n2uq.backward.exhaustive.{reached}")
        bounds = of.learned_bounds(draw, 2, 190)
        yield _case("exhaustive", _gradients(draw, "s8", every.shape), every, bounds, 2, reached, "s8", "s8", "s16", 8)
        draw = Draw(seed, f"n2uq.backward.near.{reached}")
        bounds = of.learned_bounds(draw, 4, 3_000_000)
        acc = of.near(np.concatenate([bounds, of.middles(bounds, reached)[0]]), of.S32)
        yield _case("bounds", _gradients(draw, "s16", acc.shape), acc, bounds, 4, reached, "s16", "s32", "s32", 20)
        yield _random(draw, 3, reached, 200, ("s16", "s16", "s8"), 14, 1)
    acc, g = of.digit_edges(3)
    bounds = of.learned_bounds(Draw(seed, "n2uq.backward.natural"), 4, int(acc.max() - acc.min()) * 3 // 4)
    yield _case("natural", g, acc[:, 2:3], bounds, 4, "above", "s32", "s32", "s32", 16)
    yield _case("zeros", np.zeros(4, np.int8), np.arange(4, dtype=np.int8), halves, 3, "above", "s8", "s8", "s8", 8)
    yield _case("all_max", np.full(5, 127, np.int8), np.full(5, 127, np.int8), halves, 3, "above", "s8", "s8", "s8", 8)
    yield _case("single", np.full(1, -128, np.int8), np.full(1, -4, np.int8), halves, 3, "at_or_above", "s8", "s8",
                "s8", 4)
    for tier, count, size in ((2, 20, 500), (3, 200, 20_000)):
        if level < tier:
            break
        draw = Draw(seed, f"n2uq.backward.{tier}")
        for _ in range(count):
            formats = str(draw.pick(["s8", "s16", "s24"])), str(draw.pick(["s12", "s16", "s24", "s32"])), "s16"
            bits = int(draw.integers(2, 6 if formats[1] == "s12" else 8))
            yield _random(draw, bits, str(draw.pick(of.REACHED)), size, formats, int(draw.integers(6, 16)), tier)


def _gradients(draw: Draw, format: str, shape) -> np.ndarray:
    """Gradients of which none is 0: that one would show nothing."""
    g = draw.codes(IntFormat.parse(format), shape)
    return np.where(g == 0, g.dtype.type(3), g)


def _random(draw: Draw, bits: int, reached: str, size: int, formats: tuple[str, str, str], fraction_bits: int,
            tier: int) -> Stimulus:
    acc_format = IntFormat.parse(formats[1])
    bounds = of.learned_bounds(draw, bits, int(draw.integers(acc_format.qmax // 2, acc_format.qmax)))
    acc = of.spread(draw, bounds, acc_format, (size,))
    return _case("random", _gradients(draw, formats[0], (size,)), acc, bounds, bits, reached, *formats, fraction_bits,
                 tier=tier)


def _case(set: str, g: np.ndarray, acc: np.ndarray, bounds: np.ndarray, bits: int, reached: str, g_format: str,
          acc_format: str, dx_format: str, fraction_bits: int, rounding: str = "half_even", tier: int = 1) -> Stimulus:
    attrs = {"g_format": g_format, "acc_format": acc_format, "dx_format": dx_format, "bits": bits,
             "fraction_bits": fraction_bits, "reached": reached, "rounding": rounding}
    multiplier, shift = n2uq.slopes(bounds, fraction_bits)
    shape, words = "x".join(map(str, acc.shape)), f"{reached}_{rounding}".replace("_", "-")
    label = f"{shape}_{g_format}_{acc_format}_{dx_format}_u{bits}_f{fraction_bits}_{words}"
    return Stimulus(set, label, attrs, {"in_g": g, "in_acc": acc, "in_thresholds": of.middles(bounds, reached),
                                        "in_bounds": bounds, "in_multiplier": multiplier, "in_shift": shift}, tier)


def operands(attrs, inputs, index):
    k = int(n2uq.segment(inputs["in_acc"][index], inputs["in_bounds"], attrs["reached"]))
    inside = 1 <= k <= len(inputs["in_multiplier"])
    slope = {name: inputs[f"in_{name}"][k - 1] for name in ("multiplier", "shift")} if inside else {}
    return {"g": inputs["in_g"][index], "acc": inputs["in_acc"][index], "segment": k, **slope}


OPERATION = Operation(
    "n2uq.backward", "the gradients of learned thresholds, by G-STE", ATTRIBUTES, tensors, reference, element, stimuli,
    n2uq_gradient_mutants.MUTANTS, operands, ("reached", "rounding"))
