"""Where a kernel's elements, its taps, lie on a padded image, so that each is a constant shift.

Along one axis, output t meets tap k at the input  t * stride + places[k]:

    forward and weight gradient     places[i] = i * dilation - padding
    input gradient, one product for the inputs h = r, r + stride, ...  (their phase r): h = r + t * stride meets the
    output  t + (r + padding - i * dilation) / stride  at each tap i for which that is whole; here the stride is 1

The padded image begins at the least place. With a stride it is cut into phases, each every stride-th input,
so that in the phase of a tap the inputs that the outputs 0, 1, 2, ... meet are neighbours:

    place - least = shift * stride + phase          output t meets the tap at element t + shift of that phase
"""
from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np


class Axis(NamedTuple):
    """One axis: how many outputs there are, and the input that the first of them meets each tap at."""

    outputs: int
    stride: int
    places: tuple[int, ...]


def of_input(outputs: int, kernel: int, stride: int, dilation: int, padding: int) -> Axis:
    """The axis of x that y, or the gradient of w, is summed from."""
    return Axis(outputs, stride, tuple(i * dilation - padding for i in range(kernel)))


def of_gradient(size: int, phase: int, kernel: int, stride: int, dilation: int, padding: int) -> tuple[Axis, list[int]]:
    """The axis of g that a phase of the gradient of x is summed from, and the taps that meet it."""
    taps = [i for i in range(kernel) if (phase + padding - i * dilation) % stride == 0]
    places = tuple((phase + padding - i * dilation) // stride for i in taps)
    return Axis(len(range(phase, size, stride)), 1, places), taps


class Phases(NamedTuple):
    """A padded axis, cut into phases: the inputs they begin with, their length, each tap's phase and shift."""

    begins: np.ndarray
    length: int
    taps: list[tuple[int, int]]


def phases(axis: Axis) -> Phases:
    """The phases that taps lie in."""
    least = min(axis.places)
    taps = [((place - least) % axis.stride, (place - least) // axis.stride) for place in axis.places]
    used = sorted({phase for phase, _ in taps})
    return Phases(least + np.array(used), axis.outputs + max(shift for _, shift in taps),
                  [(used.index(phase), shift) for phase, shift in taps])


class Layout(NamedTuple):
    """Padded images [images, channels, row phases, column phases, rows, columns], flat, and where outputs meet taps."""

    rows: Phases
    columns: Phases
    channel: int  # codes of a channel
    taps: np.ndarray  # in a channel, what the first output meets at each tap


@functools.lru_cache(maxsize=256)
def layout(rows: Axis, columns: Axis) -> Layout:
    """The layout of images that the kernel moves over so."""
    down, across = phases(rows), phases(columns)
    area = down.length * across.length
    taps = [(a * len(across.begins) + b) * area + y * across.length + x for a, y in down.taps for b, x in across.taps]
    return Layout(down, across, len(down.begins) * len(across.begins) * area, np.array(taps))
