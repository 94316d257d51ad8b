"""What quantize.quantize and quantize.fake share: attributes, arguments, stimuli, mutants."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from refquant.golden import schema
from refquant.golden.families import ends, natural, reals
from refquant.golden.mutants import attribute, instead
from refquant.golden.operation import FLOATS, Arrays, Attrs, Stimulus
from refquant.golden.stimuli import Draw
from refquant.integers.formats import IntFormat
from refquant.integers.quantize import DIVISIONS, OVERFLOWS, ZERO_POINT_AT
from refquant.scalar import formats as scalar_formats

ATTRIBUTES = {
    "x_format": schema.FLOAT, "format": schema.FORMAT, "axis": schema.nullable(schema.integer(0, 7)),
    "zero_point": schema.INT32, "rounding": schema.ROUNDING, "division": {"enum": list(DIVISIONS)},
    "zero_point_at": {"enum": list(ZERO_POINT_AT)}, "overflow": {"enum": list(OVERFLOWS)},
}
SEMANTICS = ("x_format", "rounding", "division", "zero_point_at", "overflow")


def attributes(format: str, rounding: str = "half_even", *, x_format: str = "f32", axis: int | None = None,
               zero_point: int = 0, division: str = "divide", zero_point_at: str = "after",
               overflow: str = "saturate") -> Attrs:
    return {"x_format": x_format, "format": format, "axis": axis, "zero_point": zero_point, "rounding": rounding,
            "division": division, "zero_point_at": zero_point_at, "overflow": overflow}


def arguments(attrs: Attrs, inputs: Arrays) -> dict[str, Any]:
    """What `quantize_codes` takes besides x."""
    same = ("zero_point", "axis", "rounding", "division", "zero_point_at", "overflow")
    scale = inputs["in_scale"] if attrs["axis"] is not None else inputs["in_scale"][0]
    return {"scale": scale, "format": IntFormat.parse(attrs["format"])} | {key: attrs[key] for key in same}


def scalar_arguments(attrs: Attrs, inputs: dict[str, Any], index: tuple[int, ...]) -> dict[str, Any]:
    """What the scalar model takes for the element at ``index``."""
    x = inputs["in_x"]
    for i in index:
        x = x[i]
    bits, signed, narrow = scalar_formats.parse(attrs["format"])
    same = ("zero_point", "rounding", "division", "zero_point_at", "overflow")
    scale = inputs["in_scale"][0 if attrs["axis"] is None else index[attrs["axis"]]]
    return {"x": x, "scale": scale, "bits": bits, "signed": signed, "narrow": narrow,
            "precision": reals.PRECISION[attrs["x_format"]]} | {key: attrs[key] for key in same}


def operands(attrs: Attrs, inputs: Arrays, index: tuple[int, ...]) -> dict[str, Any]:
    scale = inputs["in_scale"][0 if attrs["axis"] is None else index[attrs["axis"]]]
    return {"x": inputs["in_x"][index], "scale": scale}


def quantize_stimuli(name: str, modes: tuple[str, ...]) -> Callable[[int, int], Iterator[Stimulus]]:
    """Ties in these rounding modes, ends of every format, both divisions and zero point places, channels, digits."""
    level_1 = [
        *(attributes("s8", rounding, zero_point=3) for rounding in modes),
        attributes("s8"), attributes("s8", zero_point=-7, zero_point_at="before"),
        attributes("u8", "half_away", zero_point=131, zero_point_at="before"),
        attributes("s8n", division="reciprocal"), attributes("u8", division="reciprocal", zero_point=128),
        attributes("s4"), attributes("s16", x_format="f64"), attributes("s8", "half_up", x_format="f64"),
        attributes("s8", overflow="wrap", zero_point=5), attributes("s8", axis=0),
        attributes("u8", axis=1, zero_point=77),
    ]

    def stimuli(level: int, seed: int) -> Iterator[Stimulus]:
        for index, attrs in enumerate(level_1):
            yield _case(attrs, Draw(seed, f"{name}.1.{index}"), (24, 24) if attrs["axis"] is not None else (24, 12), 1)
        yield _digits()
        for tier, count, side in ((2, 40, 150), (3, 400, 1000)):
            if level < tier:
                break
            draw = Draw(seed, f"{name}.{tier}")
            for _ in range(count):
                yield _case(_drawn(draw, modes), draw, (side, side), tier)

    return stimuli


def _case(attrs: Attrs, draw: Draw, shape: tuple[int, int], tier: int) -> Stimulus:
    """A third ties, a third the ends of format and floats, the rest spread over a little more than the range."""
    format, dtype = IntFormat.parse(attrs["format"]), FLOATS[attrs["x_format"]]
    channels = 1 if attrs["axis"] is None else shape[attrs["axis"]]
    base = 0.25 if format.signed and attrs["division"] == "divide" else 0.013  # exact ties, or quotients near them
    scale = np.array([base * (1 + (i % 5) / 4) for i in range(channels)]).astype(dtype)
    first = float(scale[0])
    reach = (format.qmax - format.qmin) * first
    codes = draw.integers(max(format.qmin, -2000) - attrs["zero_point"], min(format.qmax, 2000) - attrs["zero_point"],
                          (shape[0] * shape[1] // 12 + 1,))
    special = np.concatenate([
        reals.ties(dtype, first, np.concatenate([np.arange(-4, 4), codes])).reshape(-1), reals.extremes(dtype),
        reals.around(first, format, attrs["zero_point"], dtype)])
    x = reals.spread(draw, dtype, reach, shape)
    flat = x.reshape(-1)
    # scattered, so that the neighbours along both axes differ
    at = np.arange(min(len(special), flat.size)) * 7 % flat.size if flat.size % 7 else np.arange(
        min(len(special), flat.size))
    flat[at] = special[:len(at)]
    return Stimulus("ties", _label(attrs, shape), attrs, {"in_x": x, "in_scale": scale}, tier)


def _digits() -> Stimulus:
    """Gray levels of four digits in [0, 1], quantized to uint8 as an input layer does."""
    x = natural.images(4)[0].reshape(4, 64).astype(np.float32) / np.float32(240)
    attrs = attributes("u8")
    return Stimulus("natural", _label(attrs, x.shape), attrs,
                    {"in_x": x, "in_scale": np.array([1 / 255], np.float32)})


def _drawn(draw: Draw, roundings: tuple[str, ...]) -> Attrs:
    format = str(draw.pick(["s8", "u8", "s4", "u4", "s2", "s16", "u16", "s8n", "s4n", "s6", "s12", "s32"]))
    ends = IntFormat.parse(format)
    zero_point = int(draw.pick([0, 1, max(ends.qmin, -128), min(ends.qmax, 255), -3]))
    return attributes(
        format, str(draw.pick(roundings)), x_format=str(draw.pick(["f32", "f32", "f64"])),
        axis=[None, 0, 1][int(draw.integers(0, 2))], zero_point=zero_point,
        division=str(draw.pick(DIVISIONS)), zero_point_at=str(draw.pick(ZERO_POINT_AT)),
        overflow=str(draw.pick(["saturate", "saturate", "wrap"])))


def _label(attrs: Attrs, shape: tuple[int, ...]) -> str:
    parts = ["x".join(map(str, shape)), attrs["x_format"], attrs["format"], attrs["rounding"].replace("_", "-")]
    parts += [f"axis{attrs['axis']}"] if attrs["axis"] is not None else []
    if attrs["zero_point"]:
        before = "b" if attrs["zero_point_at"] == "before" else ""
        parts.append(f"zp{attrs['zero_point']}{before}".replace("-", "m"))
    parts += ["recip"] if attrs["division"] == "reciprocal" else []
    parts += ["wrap"] if attrs["overflow"] == "wrap" else []
    return "_".join(parts)


def _moved(attrs: Attrs) -> bool:
    return attrs["zero_point"] != 0


MUTANTS = (
    instead("division", "divide", "reciprocal", "x is multiplied by 1 / scale instead of divided"),
    instead("division", "reciprocal", "divide", "x is divided by the scale instead of multiplied by its reciprocal"),
    attribute("zero_point_before", "the zero point is added before the rounding", "zero_point_at", "before", _moved),
    attribute("zero_point_after", "the zero point is added after the rounding", "zero_point_at", "after", _moved),
    attribute("wraps", "codes outside the format wrap", "overflow", "wrap"),
    attribute("saturates", "codes outside the format saturate", "overflow", "saturate"),
    *ends.OF_FORMATS, ends.FULL,
    *reals.ZERO_POINT_MUTANTS, *reals.CHANNEL_MUTANTS, *reals.PRECISIONS,
)
