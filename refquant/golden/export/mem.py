"""mem/<tensor>.mem: what $readmemh loads.

One element a line: two's complement of the tensor's bits (floats as their IEEE pattern), lower case, ceil(bits / 4)
digits, address 0 first. Packed, a line is a word of 32, 64 or 128 bits, element 0 in its least significant lane. A
lane has 2, 4, 8, 16, 32 or 64 bits; codes of another width are sign- or zero-extended into their container's, and
lanes of 64 bits take two words of 32, the low half first. Lanes after the last element are 0.
"""
from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np

from refquant.golden.errors import CorruptError
from refquant.golden.export.patterns import HEX, elements, hexadecimal, patterns, width
from refquant.golden.operation import dtype_of
from refquant.golden.vector import Vector
from refquant.integers.formats import IntFormat
from refquant.integers.packing import pack, unpack

WORDS = (32, 64, 128)
LANES = (2, 4, 8, 16, 32, 64)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


def export(vector: Vector, word: int | None) -> dict[str, bytes]:
    """The .mem files of a case by path."""
    return {f"mem/{name}.mem": mem(array, vector.format(name), word) for name, array in vector.tensors.items()}


def mem(array: np.ndarray, format: IntFormat | str, word: int | None = None) -> bytes:
    """``array`` as a .mem file, one element a line, or packed into words of ``word`` bits."""
    if word is None:
        numbers, bits = patterns(array, format).tolist(), width(format)
    else:
        numbers, bits = _words(array, format, word), word
    return "".join(f"{hexadecimal(number, bits)}\n" for number in numbers).encode()


def parse_mem(text: str, format: IntFormat | str, shape: tuple[int, ...], word: int | None = None,
              name: str = ".mem") -> np.ndarray:
    """The array of a .mem file; ``name`` is the file's in errors.

    Takes all that $readmemh does: comments, several numbers a line, underscores, upper case, @addresses in any order.
    Raises CorruptError for undefined digits (x, z), a number too wide, a missing, surplus or repeated address.
    """
    count = math.prod(shape)
    bits = width(format) if word is None else word
    depth = count if word is None else -(-count * lane_format(format).bits // word)
    numbers = _memory(text, bits, depth, name)
    if word is None:
        return elements(np.array(numbers, np.uint64), format).reshape(shape)
    return _unpacked(numbers, format, count, word, name).reshape(shape)


def lane_format(format: IntFormat | str) -> IntFormat:
    """The lane that an element takes in a word."""
    if isinstance(format, str):
        return IntFormat(width(format), signed=False)
    bits = format.bits if format.bits in LANES else format.dtype.itemsize * 8
    return IntFormat(bits, format.signed)  # never narrow: codes that wrapped may be the one left out


def _words(array: np.ndarray, format: IntFormat | str, word: int) -> list[int]:
    lane = lane_format(format)
    codes = patterns(array, format) if isinstance(format, str) else array
    packed = pack(codes, lane, max(word, lane.bits))
    if word < lane.bits:
        return [int(part) for pair in packed for part in (pair & np.uint64(2**32 - 1), pair >> np.uint64(32))]
    if word == 128:
        return [int(low) | int(high) << 64 for low, high in packed]
    return packed.tolist()


def _unpacked(numbers: list[int], format: IntFormat | str, count: int, word: int, name: str) -> np.ndarray:
    lane = lane_format(format)
    data = b"".join(number.to_bytes(word // 8, "little") for number in numbers)
    lanes = unpack(np.frombuffer(data, np.uint8), lane, len(data) * 8 // lane.bits) if lane.bits <= 8 else (
        np.frombuffer(data, lane.dtype.newbyteorder("<")).astype(lane.dtype))
    if lanes[count:].any():
        raise CorruptError(f"{name}: its last word holds more than {count} elements: expected zeros in the lanes "
                           "that are left")
    if isinstance(format, str):
        return elements(lanes[:count], format)
    full = IntFormat(format.bits, format.signed)
    outside = (lanes[:count] < full.qmin) | (lanes[:count] > full.qmax)
    if outside.any():
        at = int(outside.argmax())
        raise CorruptError(f"{name}: element {at} is {lanes[at]}: expected {format.bits} bits, {full.qmin} to "
                           f"{full.qmax}, extended to the lane's {lane.bits}")
    return lanes[:count].astype(dtype_of(format))


def _memory(text: str, bits: int, depth: int, name: str) -> list[int]:
    """The words at addresses 0 to ``depth`` - 1."""
    memory: list[int | None] = [None] * depth
    address = 0
    for line, token in _tokens(text):
        where = f"{name}: line {line}"
        if token.startswith("@"):
            address = _number(token[1:], where, "a hexadecimal address after @")
            continue
        number = _number(token, where, f"a hexadecimal number of {bits} bits")
        if number >> bits:
            raise CorruptError(f"{where}: {token} takes {number.bit_length()} bits: expected at most {bits}")
        if address >= depth:
            raise CorruptError(f"{where}: address {address} is beyond the last: expected {depth} numbers")
        if memory[address] is not None:
            raise CorruptError(f"{where}: address {address} is written a second time: expected {depth} numbers, "
                               "each once")
        memory[address] = number
        address += 1
    numbers = [number for number in memory if number is not None]
    if len(numbers) < depth:
        raise CorruptError(f"{name}: ends at line {text.rstrip().count(chr(10)) + 1} with {len(numbers)} numbers: "
                           f"expected {depth}, address {memory.index(None)} is missing")
    return numbers


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    """(line number, token), comments left out."""
    bare = COMMENT.sub(lambda comment: " " + "\n" * comment[0].count("\n"), text)
    for line, content in enumerate(bare.split("\n"), 1):
        for token in content.split():
            yield line, token


def _number(token: str, where: str, wanted: str) -> int:
    plain = token.replace("_", "")
    if HEX.fullmatch(plain):
        return int(plain, 16)
    undefined = ", undefined" if re.fullmatch("[0-9a-fA-FxXzZ]+", plain) else ""
    raise CorruptError(f"{where}: {token[:40]!r} is not a number{undefined}: expected {wanted}")
