"""Shifts of int32 that stay int32: Numba widens them to int64, which LLVM cannot undo, and half the lanes are lost."""
from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic


def _right(typingctx, value, amount):
    return types.int32(types.int32, types.int32), lambda context, builder, signature, given: builder.ashr(*given)


def _left(typingctx, value, amount):
    return types.int32(types.int32, types.int32), lambda context, builder, signature, given: builder.shl(*given)


shift_right: Any = intrinsic(_right)  # (value, amount below 32); what leaves is lost, signs move in
shift_left: Any = intrinsic(_left)
