"""Tensors as nested lists: their shape, one of their numbers, all of them in order.

An index is a tuple as long as the shape; the last place of it runs fastest.
"""
from itertools import chain


def shape_of(tensor):
    """The lengths of a nested list, from the outermost. A number has the shape ()."""
    return (len(tensor), *shape_of(tensor[0])) if isinstance(tensor, list) else ()


def at(tensor, index):
    """The number at index."""
    for place in index:
        tensor = tensor[place]
    return tensor


def flat(tensor):
    """All numbers in one list."""
    while isinstance(tensor[0], list):
        tensor = list(chain.from_iterable(tensor))
    return tensor


def position(index, shape):
    """Where the number at index stands among all of a tensor of this shape in order."""
    count = 0
    for place, length in zip(index, shape, strict=True):
        count = count * length + place
    return count


def filled(shape, number, index=()):
    """The tensor of this shape that holds number(index) at every index."""
    if len(index) == len(shape):
        return number(index)
    return [filled(shape, number, (*index, place)) for place in range(shape[len(index)])]


def mapped(function, *tensors):
    """The tensor of function(...) of the numbers that equal shapes hold at the same index."""
    if not isinstance(tensors[0], list):
        return function(*tensors)
    return [mapped(function, *parts) for parts in zip(*tensors, strict=True)]
