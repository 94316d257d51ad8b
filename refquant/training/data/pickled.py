"""Pickles read without unpickling: a stack machine that knows what CIFAR's Python files hold, and nothing else.

A pickle is a program. `pickletools.genops` lists its instructions; this machine follows those that make a dict, list,
tuple, text, integer, boolean or None, and the few that make a NumPy array (pickledarray.py). Any other is a DataError.

Text and bytes are one, a str with a character for each byte (latin-1), as they were in Python 2. So turning one into
the other makes nothing new: a file cannot ask for more memory than its size and number of instructions.
"""
from __future__ import annotations

import io
import os
import pickletools
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from refquant.training.data.errors import DataError, opened
from refquant.training.data.pickledarray import Name, build, known, reduce

MOST_BYTES = 1 << 27    # a batch has 2^25, twice as many where its bytes are written as UTF-8
MOST_STEPS = 1_000_000  # a batch needs 60,000; each may take some 100 bytes of memory


def read(path: str | Path) -> dict[str, Any]:
    """The dict pickled in the file ``path``: keys str, values str, int, bool, None, list, tuple, dict or `Array`.

    Raises a DataError for anything that is not such a pickle, naming the instruction and where it stands.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise DataError(f"{path}: has {size} bytes: expected at most {MOST_BYTES}")
        content = io.BytesIO(file.read(size))
    machine, place = Machine(), "its beginning"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # genops warns of escapes that mean nothing: the file is damaged
            for steps, (opcode, argument, position) in enumerate(pickletools.genops(content)):
                place = f"{opcode.name} at byte {position}"
                if steps == MOST_STEPS:
                    raise DataError(f"instruction {steps + 1}: expected at most {MOST_STEPS}")
                machine.step(opcode.name, argument)
    except DataError as error:
        raise DataError(f"{path}: {place}: {error}") from None
    except (ValueError, Warning) as error:  # genops of what is no pickle
        raise DataError(f"{path}: not a whole pickle after {place}: {str(error)[:200]}") from None
    if content.read(1):
        raise DataError(f"{path}: has bytes after {place}: expected the end of the file")
    return machine.stack[0]


class Machine:
    """A stack, the heights at which its marks stand, and a memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Follow one instruction."""
        push = self.stack.append
        match name:
            case "FRAME":
                pass  # says only how the file is cut
            case "PROTO":
                if argument > 5:
                    raise DataError(f"protocol {argument}: expected 0 to 5")
            case "NONE":
                push(None)
            case "NEWTRUE" | "NEWFALSE":
                push(name == "NEWTRUE")
            case "INT" | "BININT" | "BININT1" | "BININT2" | "LONG" | "LONG1" | "LONG4":
                if not -1 << 63 <= argument < 1 << 63:
                    raise DataError("an integer of more than 64 bits")
                push(argument)
            case "STRING" | "BINSTRING" | "SHORT_BINSTRING":
                push(argument)
            case "UNICODE" | "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8":
                push(argument)
            case "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8" | "BYTEARRAY8":
                push(str(argument, "latin-1"))
            case "MARK":
                self.marks.append(len(self.stack))
            case "EMPTY_TUPLE":
                push(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                push(tuple([self.pop() for _ in range(int(name[-1]))][::-1]))
            case "TUPLE":
                push(tuple(self.cut()))
            case "EMPTY_LIST":
                push([])
            case "LIST":
                push(self.cut())
            case "APPEND" | "APPENDS":
                items = self.cut() if name == "APPENDS" else [self.pop()]
                self.top(list).extend(items)
            case "EMPTY_DICT":
                push({})
            case "DICT":
                push(dict(pairs(self.cut())))
            case "SETITEM" | "SETITEMS":
                items = self.cut() if name == "SETITEMS" else [self.pop(), self.pop()][::-1]
                self.top(dict).update(pairs(items))
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.top()
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.top()
            case "GET" | "BINGET" | "LONG_BINGET":
                if argument not in self.memo:
                    raise DataError(f"memo {argument} is empty")
                push(self.memo[argument])
            case "GLOBAL":
                push(known(argument))
            case "STACK_GLOBAL":
                attribute, module = self.pop(str), self.pop(str)
                push(known(f"{module} {attribute}"))
            case "REDUCE":
                arguments = self.pop(tuple)
                push(reduce(self.pop(Name), arguments))
            case "BUILD":
                state = self.pop(tuple)
                build(self.top(), state)
            case "STOP":
                self.top(dict)
                if len(self.stack) > 1 or self.marks:
                    raise DataError(f"{len(self.stack)} values and {len(self.marks)} marks are left: expected one dict")
            case _:
                raise DataError("refused: no instruction of a dict of arrays")

    def top(self, kind: type = object) -> Any:
        """The last value: a ``kind``, above the last mark."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise DataError("nothing is on the stack")
        if not isinstance(self.stack[-1], kind):
            raise DataError(f"finds a {type(self.stack[-1]).__name__}: expected a {kind.__name__}")
        return self.stack[-1]

    def pop(self, kind: type = object) -> Any:
        """The last value, taken."""
        self.top(kind)
        return self.stack.pop()

    def cut(self) -> list[Any]:
        """The values above the last mark, taken with it."""
        if not self.marks:
            raise DataError("no mark is on the stack")
        height = self.marks.pop()
        values = self.stack[height:]
        del self.stack[height:]
        return values


def pairs(values: list[Any]) -> Iterable[tuple[str, Any]]:
    """Keys, which must be text, and values."""
    keys = values[::2]
    if len(values) % 2 or any(type(key) is not str for key in keys):
        raise DataError("a dict's items: expected keys that are text, each with a value")
    return zip(keys, values[1::2], strict=True)
