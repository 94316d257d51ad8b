"""Exact integer arithmetic: every format, rounding and overflow by name, every result equal to the bit."""
from refquant.integers import affine, flags, rounding
from refquant.integers.accumulator import Accumulator, least_safe_bits, safe_bits
from refquant.integers.fixed import Fixed
from refquant.integers.formats import IntFormat
from refquant.integers.multiplier import multiplier_from_scale
from refquant.integers.packing import pack, unpack
from refquant.integers.quantize import dequantize, fake_quantize, quantize, quantize_codes, ste_gradient
from refquant.integers.randombits import lfsr_bits, lfsr_states, philox4x32, philox_bits
from refquant.integers.requantize import requantize, requantize_codes
from refquant.integers.stochastic import PhiloxRounding, Stochastic

__all__ = [
    "Accumulator", "Fixed", "IntFormat", "PhiloxRounding", "Stochastic", "affine", "dequantize", "fake_quantize",
    "flags", "least_safe_bits", "lfsr_bits", "lfsr_states", "multiplier_from_scale", "pack", "philox4x32",
    "philox_bits", "quantize", "quantize_codes", "requantize", "requantize_codes", "rounding", "safe_bits",
    "ste_gradient", "unpack",
]
