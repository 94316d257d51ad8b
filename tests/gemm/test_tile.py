"""The fast product's pieces, and the same bits whatever Numba compiles for: each machine's form in a process of its own."""
import os
import subprocess
import sys

import numpy as np
import pytest

from refquant.gemm import kernels
from refquant.gemm.tile import FEATURES

SHAPES = [(1, 1, 1), (3, 5, 2), (6, 64, 16), (7, 65, 17), (13, 130, 64), (97, 33, 65), (100, 2049, 31), (5, 4100, 90)]

ALL_KINDS = f"""
import hashlib, itertools
import numpy as np
from refquant.gemm import kernels, tile
digest, draw = hashlib.sha256(), np.random.default_rng(5)
for (m, k, n), types in itertools.product({SHAPES}, itertools.product((np.int8, np.uint8, np.int16), repeat=2)):
    a, b = (draw.integers(np.iinfo(t).min, np.iinfo(t).max, size, t, endpoint=True)
            for t, size in zip(types, ((m, k), (k, n))))
    for x, y, za, zb in ((a, b, 0, 0), (np.asfortranarray(a), b, 3, 0), (a, np.asfortranarray(b), 0, -200),
                         (a[::-1], b, 255, 128)):
        if a.itemsize != b.itemsize or a.itemsize == 2:
            za = zb = 0
        c = kernels._int32(x, y, za, zb, None)
        wanted = (x.astype(np.int64) - za) @ (y.astype(np.int64) - zb)
        assert (c == wanted.astype(np.int32)).all(), (m, k, n, types, za, zb)
        digest.update(c.tobytes())
print(tile.LANES, tile.QUADS, digest.hexdigest())
"""

# bytes multiplied as they are, by plain instructions: what the quads path does on a machine that has one for it
QUADS_IN_PLAIN_TERMS = """
from llvmlite import ir
from refquant.gemm import tile

def multiply_add(builder, total, a, b, quads):
    if not quads:
        return of_pairs(builder, total, a, b, False)
    bytes, wide = ir.VectorType(tile.I8, 4 * tile.LANES), ir.VectorType(tile.I32, 4 * tile.LANES)
    products = builder.mul(builder.zext(builder.bitcast(a, bytes), wide), builder.sext(builder.bitcast(b, bytes), wide))
    for first in range(4):
        total = builder.add(total, tile.shuffled(builder, products, products, range(first, 4 * tile.LANES, 4)))
    return total

of_pairs, tile.multiply_add, tile.QUADS = tile.multiply_add, multiply_add, True
tile.wide_quads, tile.narrow_quads = tile._tile(tile.VECTORS, True), tile._tile(1, True)
"""

CONVOLUTIONS = """
from refquant.gemm import Geometry, conv, conv_input_gradient, conv_weight_gradient, convolution, fast
fast.FEW = fast.FEW_OF_GRADIENT = fast.FEW_TAPS = 0  # all by products
geometry = Geometry(padding=1, stride=(1, 2))
x, w, g = (draw.integers(-128, 128, size, np.int8) for size in ((2, 5, 9, 20), (7, 5, 3, 3), (2, 7, 9, 10)))
def answers():
    yield conv(x, w, geometry, x_zero_point=3, w_zero_point=-5)[0]
    yield conv_input_gradient(g, w, (9, 20), geometry, g_zero_point=7, w_zero_point=1)[0]
    yield conv_weight_gradient(x, g, (3, 3), geometry, x_zero_point=-2, g_zero_point=9)[0]
convolution.FEWEST = 0
found, convolution._fast = list(answers()), lambda multiplications: None
assert all((one == other).all() for one, other in zip(found, answers(), strict=True))
"""

compiled = pytest.mark.skipif(kernels.NOT_COMPILED, reason="nothing is compiled")


def products(tmp_path, first="", last="", **environment):
    done = subprocess.run([sys.executable, "-c", first + ALL_KINDS + last], capture_output=True, text=True, check=False,
                          env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)} | environment)
    assert done.returncode == 0, done.stderr
    lanes, quads, digest = done.stdout.split()
    return int(lanes), quads == "True", digest


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return products(tmp_path_factory.mktemp("cache"))


@compiled
@pytest.mark.parametrize("features, lanes, more", [("", 8, ""), ("+avx,+avx2", 8, "+avx512bw"),
                                                   ("+avx,+avx2,+avx512f,+avx512bw", 16, "+avx512vnni")])
def test_the_same_bits_with_fewer_features(tmp_path, here, features, lanes, more):
    """Each form on a machine that would take the next: two words of 256 bits run as four of 128, for instance."""
    if more not in FEATURES | {""}:
        pytest.skip(f"this machine does not have {more}: it takes this form anyway")
    found = products(tmp_path, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES=features)
    assert found == (lanes, False, here[2])


@compiled
def test_quads_of_bytes_give_the_same_bits(tmp_path, here):
    _, quads, digest = products(tmp_path, QUADS_IN_PLAIN_TERMS, CONVOLUTIONS)
    assert quads and digest == here[2]


@compiled
def test_the_tile_starts_from_what_it_is_given_and_wraps():
    from refquant.compiling import compiled
    from refquant.gemm.tile import LANES, TILE_ROWS, narrow_pairs

    @compiled
    def run(a, b, words, first, out):
        narrow_pairs(a, 0, words, 1, b, 0, words, first, 0, 0, out, 0, len(first))
    draw, words = np.random.default_rng(0), 3
    a, b = (draw.integers(0, 2**32, size, np.uint32) for size in (TILE_ROWS * words, words * LANES))
    first, out = draw.integers(-2**31, 2**31, LANES).astype(np.int32), np.zeros((TILE_ROWS, LANES), np.int32)
    run(a, b, words, first, out.reshape(-1))
    pairs_a, pairs_b = a.view(np.int16).reshape(TILE_ROWS, words, 2), b.view(np.int16).reshape(words, LANES, 2)
    wanted = first + np.einsum("pwt,wqt->pq", pairs_a.astype(np.int64), pairs_b.astype(np.int64))
    assert (out == wanted.astype(np.int32)).all() and (np.abs(wanted) >= 2**31).any()
