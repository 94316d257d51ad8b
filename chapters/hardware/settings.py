"""What each unit can do, and a case's numbers as its bench takes them: what a host would write into registers."""
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

Settings = dict[str, int]


class Declined(Exception):
    """The unit does not have the semantics that a case asks for; the text says which."""


@dataclass(frozen=True)
class Case:
    """What case.json says of a case: attributes, and each tensor's shape."""

    attrs: dict[str, Any]
    shapes: dict[str, list[int]]

    @classmethod
    def of(cls, record: dict[str, Any]) -> "Case":
        return cls(record["attrs"], {tensor["name"]: tensor["shape"] for tensor in record["tensors"]})

    def require(self, **allowed: tuple) -> None:
        """Decline the case unless each of these attributes has one of the values."""
        for name, values in allowed.items():
            if self.attrs[name] not in values:
                raise Declined(f"{name} {self.attrs[name]}")

    def require_room(self, **most: int) -> None:
        """Decline the case if one of these tensors has more elements than its memory in the bench."""
        for name, elements in most.items():
            if prod(self.shapes.get(name, [])) > elements:
                raise Declined(f"{name} of more than {elements} elements")


def is_signed(format: str) -> bool:
    """Whether a format is signed: "s8" is, "u8" is not."""
    return format.startswith("s")


def bits_of(format: str) -> int:
    return int(format[1:].rstrip("n"))


def limits(format: str) -> tuple[int, int]:
    """(qmin, qmax) of a format by its name; "s8n" is s8 without its lowest code."""
    bits = bits_of(format)
    if not is_signed(format):
        return 0, (1 << bits) - 1
    return -(1 << bits - 1) + format.endswith("n"), (1 << bits - 1) - 1


def mac_array(case: Case) -> Settings:
    attrs = case.attrs
    case.require(accumulator_bits=(32,), accumulator_overflow=("wrap",), flavour=("none", "tosa_single", "tosa_double"))
    requantized = attrs["flavour"] != "none"
    if requantized:
        case.require(zero_point_at=("after",), overflow=("saturate",))
    for name in ("a_format", "b_format", *(["format"] if requantized else [])):
        if bits_of(attrs[name]) > 8:
            raise Declined(f"{name} {attrs[name]}")
    case.require_room(in_a=1 << 17, in_b=1 << 17, out_y=1 << 17)
    (rows, terms), (_, columns) = case.shapes["in_a"], case.shapes["in_b"]
    if terms >= 1 << 16:
        raise Declined(f"{terms} terms")
    for name in ("a", "b"):
        _require_code(f"{name}_zero_point", attrs[f"{name}_zero_point"], attrs[f"{name}_format"])
    if requantized:
        _require_code("zero_point", attrs["zero_point"], attrs["format"])
    qmin, qmax = limits(attrs["format"]) if requantized else (0, 0)
    return {
        "m": rows, "k": terms, "n": columns, "with_bias": attrs["bias"], "requantized": requantized,
        "per_channel": attrs["per_channel"], "double_rounding": attrs["flavour"] == "tosa_double",
        "a_bits": bits_of(attrs["a_format"]), "b_bits": bits_of(attrs["b_format"]),
        "y_bits": bits_of(attrs["format"]) if requantized else 32,
        "a_signed": is_signed(attrs["a_format"]), "b_signed": is_signed(attrs["b_format"]),
        "a_zero_point": attrs["a_zero_point"], "b_zero_point": attrs["b_zero_point"],
        "zero_point": attrs["zero_point"], "qmin": qmin, "qmax": qmax}


def stochastic_rounder(case: Case) -> Settings:
    attrs = case.attrs
    v_bits, y_bits = bits_of(attrs["v_format"]), bits_of(attrs["format"])
    if v_bits > 64 - (not is_signed(attrs["v_format"])):
        raise Declined(f"v_format {attrs['v_format']}")
    if y_bits > 32:
        raise Declined(f"format {attrs['format']}")
    case.require_room(in_v=1 << 17)
    (count,) = case.shapes["in_v"]
    qmin, qmax = limits(attrs["format"])
    return {"count": count, "v_bits": v_bits, "v_signed": is_signed(attrs["v_format"]), "y_bits": y_bits,
            "qmin": qmin, "qmax": qmax, "shift": attrs["shift"], "width": attrs["width"], "n": attrs["n"],
            "r_bits": next(lane for lane in (8, 16, 32) if lane >= attrs["n"]), "steps": attrs["steps"]}


ROUNDINGS = ("half_even", "half_away", "half_up", "floor", "stochastic")  # in the order of round_shift.v


def range_tracker(case: Case) -> Settings:
    attrs = case.attrs
    case.require(rounding=ROUNDINGS)
    _require_signed("acc_format", attrs["acc_format"], 32)
    case.require_room(in_acc=1 << 17, out_seen=1 << 11)
    steps, count = case.shapes["in_acc"]
    return {"steps": steps, "count": count, "acc_bits": bits_of(attrs["acc_format"]), "bits": attrs["bits"],
            "fraction_bits": attrs["fraction_bits"], "momentum": attrs["momentum"], "first": attrs["first"],
            "rounding": ROUNDINGS.index(attrs["rounding"]), "n": attrs["n"] or 0}


def threshold_unit(case: Case) -> Settings:
    attrs, shape = case.attrs, case.shapes["in_acc"]
    _require_signed("acc_format", attrs["acc_format"], 32)
    case.require_room(in_acc=1 << 17)
    channels, _ = case.shapes["in_thresholds"]
    if channels << attrs["bits"] > 1 << 12:
        raise Declined(f"{channels} rows of thresholds for {attrs['bits']} bits")
    return {"count": prod(shape), "acc_bits": bits_of(attrs["acc_format"]), "bits": attrs["bits"],
            "strict": attrs["reached"] == "above", "channels": channels,
            "inner": prod(shape[2:]) if attrs["per_channel"] else 1}


def _require_signed(name: str, format: str, most: int) -> None:
    if not is_signed(format) or bits_of(format) > most:
        raise Declined(f"{name} {format}")


def _require_code(name: str, value: int, format: str) -> None:
    low, high = limits(format)
    if not low <= value <= high:
        raise Declined(f"{name} {value} outside {format}")


@dataclass(frozen=True)
class Unit:
    """The operation that a unit computes, and how a case of it becomes plusargs."""

    op: str
    settings: Callable[[Case], Settings]


UNITS = {
    "mac_array": Unit("gemm.forward", mac_array),
    "range_tracker": Unit("hindsight.trajectory", range_tracker),
    "stochastic_rounder": Unit("stochastic.lfsr_shift", stochastic_rounder),
    "threshold_unit": Unit("n2uq.forward", threshold_unit),
}
