"""Geometry: places of a kernel, by sliding it over a strip."""
import itertools

import numpy as np
import pytest

from refquant.gemm import Geometry, gather
from refquant.gemm.geometry import DENSE, check_shapes


def test_short_forms():
    assert Geometry() == DENSE == Geometry((1, 1), (0, 0, 0, 0), (1, 1), 1)
    assert Geometry(2, 3, 4, 5) == Geometry((2, 2), (3, 3, 3, 3), (4, 4), 5)
    assert Geometry(padding=(1, 2)) == Geometry(padding=(1, 1, 2, 2)) == Geometry(padding=[np.int8(1), 1, 2, 2])
    assert Geometry(stride=[2, 3]).stride == (2, 3)


AXES = list(itertools.product((1, 2, 5, 7), (1, 2, 3), (1, 2, 3), (0, 1, 2), (0, 2),
                              (1, 2)))  # size kernel stride before after dilation


def slid(size, kernel, stride, before, after, dilation):
    """Place by place: [(output, tap, input or None)], by moving the kernel until it leaves the padded strip."""
    found, output = [], 0
    while output * stride + (kernel - 1) * dilation < before + size + after:
        for tap in range(kernel):
            place = output * stride + tap * dilation
            found.append((output, tap, place - before if before <= place < before + size else None))
        output += 1
    return output, found


def test_places_by_sliding():
    for size, kernel, stride, before, after, dilation in AXES:
        outputs, found = slid(size, kernel, stride, before, after, dilation)
        for swap in (False, True):  # rows, then columns; the other axis is one place
            turn = (lambda x, y: (y, x)) if swap else (lambda x, y: (x, y))
            padding = (0, 0, before, after) if swap else (before, after, 0, 0)
            geometry = Geometry(turn(stride, 1), padding, turn(dilation, 1))
            if outputs < 1:
                with pytest.raises(ValueError, match="does not fit"):
                    geometry.output_size(*turn(size, 1), turn(kernel, 1))
                continue
            assert geometry.output_size(*turn(size, 1), turn(kernel, 1)) == turn(outputs, 1)
            inputs = 1 + np.arange(size).reshape(1, 1, *turn(size, 1))  # 0 is padding
            places = gather._windows_of_input(inputs, turn(kernel, 1), geometry).reshape(outputs, kernel)
            assert all(places[output, tap] == (0 if place is None else place + 1) for output, tap, place in found)
            given = 1 + np.arange(outputs).reshape(1, 1, *turn(outputs, 1))
            readers = gather._windows_of_gradient(given, turn(size, 1), turn(kernel, 1), geometry).reshape(size, kernel)
            wanted = np.zeros((size, kernel))
            for output, tap, place in found:
                if place is not None:
                    wanted[place, tap] = output + 1
            assert (readers == wanted).all()


def test_shapes_that_fit():
    check_shapes((2, 4, 5, 6), (6, 2, 3, 3), Geometry(groups=2), (2, 6, 3, 4))


@pytest.mark.parametrize("call, words", [
    (lambda: Geometry(stride=0), ["stride = 0", "1 or more"]),
    (lambda: Geometry(stride=(1, 2, 3)), ["stride = (1, 2, 3)", "2 of them", "1 or more"]),
    (lambda: Geometry(stride=(1, 1.5)), ["stride = (1, 1.5)", "an integer or 2"]),
    (lambda: Geometry(padding=-1), ["padding = -1", "0 or more"]),
    (lambda: Geometry(padding=(1, 2, 3)), ["padding = (1, 2, 3)", "4 or 2 of them", "0 or more"]),
    (lambda: Geometry(dilation=(0, 1)), ["dilation = (0, 1)", "1 or more"]),
    (lambda: Geometry(groups=0), ["groups = 0", "1 or more"]),
    (lambda: Geometry(groups=1.5), ["groups = 1.5", "1 or more"]),
    (lambda: Geometry(dilation=3).output_size(3, 3, (2, 2)),
     ["kernel of (2, 2)", "dilation (3, 3)", "image of (3, 3)", "padding (0, 0, 0, 0)"]),
    (lambda: check_shapes((1, 4, 3, 3), (2, 3, 1, 1), DENSE),
     ["4 channels", "(2, 3, 1, 1)", "1 groups", "[O, C/groups, KH, KW]"]),
    (lambda: check_shapes((1, 3, 3, 3), (2, 1, 1, 1), Geometry(groups=2)),
     ["3 channels", "2 groups", "divisible by groups"]),
    (lambda: check_shapes((1, 4, 3, 3), (3, 2, 1, 1), Geometry(groups=2)), ["(3, 2, 1, 1)", "divisible by groups"]),
    (lambda: check_shapes((1, 1, 3, 3), (2, 1, 1, 1), DENSE, (1, 2, 3, 2)),
     ["g has shape (1, 2, 3, 2)", "(1, 2, 3, 3)"]),
])
def test_errors_name_argument_value_and_what_is_allowed(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words)


def test_a_stride_that_is_no_integer_is_a_value_error():
    with pytest.raises(ValueError, match=r"stride = 1\.5"):
        Geometry(stride=1.5)
