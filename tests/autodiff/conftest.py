"""What the tests of ops share: bits compared as bits, and which elements a convolution brings together."""
import numpy as np
import pytest

from refquant.gemm import Geometry

# name: x shape, output channels, kernel, geometry
CONVOLUTIONS = {
    "plain": ((2, 3, 4, 3), 2, (3, 2), Geometry()),
    "pointwise": ((2, 3, 2, 2), 4, (1, 1), Geometry()),
    "stride": ((1, 2, 5, 6), 2, (2, 3), Geometry(stride=(2, 3))),
    "stride leaves a rest": ((1, 1, 6, 5), 1, (3, 3), Geometry(stride=2)),
    "padding": ((2, 2, 3, 2), 2, (3, 3), Geometry(padding=1)),
    "one-sided padding": ((1, 2, 2, 3), 2, (2, 3), Geometry(padding=(0, 2, 1, 0))),
    "dilation": ((1, 2, 5, 6), 2, (2, 3), Geometry(dilation=(3, 2))),
    "groups": ((2, 4, 3, 3), 6, (2, 2), Geometry(groups=2)),
    "depthwise": ((1, 3, 4, 4), 3, (3, 3), Geometry(groups=3, padding=1)),
    "depthwise with a multiplier": ((1, 2, 3, 3), 4, (2, 2), Geometry(groups=2)),
    "all at once": ((2, 4, 5, 6), 4, (2, 3), Geometry((2, 1), (1, 0, 2, 1), (2, 1), 2)),
}


@pytest.fixture(params=CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def convolution(request):
    """``(shape of x, shape of w, shape of y, geometry)``."""
    shape, outputs, kernel, geometry = request.param
    places = geometry.output_size(*shape[2:], kernel)
    return shape, (outputs, shape[1] // geometry.groups, *kernel), (shape[0], outputs, *places), geometry


@pytest.fixture(scope="session")
def convolved():
    """(x, w, g, geometry) -> y, dx, dw by one loop of seven indices over Python numbers, in the order of the sums."""
    def loops(x, w, g, geometry):
        (sh, sw), (top, _, left, _), (dh, dw) = geometry.stride, geometry.padding, geometry.dilation
        terms = [{at: [] for at in np.ndindex(*array.shape)} for array in (g, x, w)]
        for b, o, p, q in np.ndindex(*g.shape):
            for c, i, j in np.ndindex(*w.shape[1:]):
                h, v = p * sh + i * dh - top, q * sw + j * dw - left
                if 0 <= h < x.shape[2] and 0 <= v < x.shape[3]:
                    channel = o // (w.shape[0] // geometry.groups) * w.shape[1] + c
                    of_x, of_w, of_g = (b, channel, h, v), (o, c, i, j), (b, o, p, q)
                    terms[0][of_g].append(((c, i, j), x[of_x] * w[of_w]))
                    terms[1][of_x].append(((o, i, j), g[of_g] * w[of_w]))
                    terms[2][of_w].append(((b, p, q), g[of_g] * x[of_x]))
        sums = [np.zeros(array.shape, x.dtype) for array in (g, x, w)]
        for array, lists in zip(sums, terms, strict=True):
            for at, products in lists.items():
                for _, product in sorted(products, key=lambda term: term[0]):
                    array[at] += product
        return sums
    return loops


@pytest.fixture(scope="session")
def same_bits():
    """(actual, expected): float64 arrays of one shape and the same bits; -0.0 is not 0.0."""
    def compare(actual, expected):
        actual, expected = np.asarray(actual), np.asarray(expected)
        assert actual.dtype == expected.dtype == np.float64 and actual.shape == expected.shape
        np.testing.assert_array_equal(np.ascontiguousarray(actual).view(np.int64),
                                      np.ascontiguousarray(expected).view(np.int64))
    return compare
