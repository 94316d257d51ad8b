"""Gradients of few bits: the clip counted in closed form, its threshold exactly, every small gradient with every bit."""
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.scalar.int4 import clipped, code, packed_byte, parameters, steps, updated

FACTORS = (1, 2, 333, 500, 667, 999, 1000)


def test_parameters_by_hand():
    assert parameters([-7, 3], 1000, 4) == (7, 2**30, 30)  # the highest gradient is the highest code
    assert parameters([-7, 3], 500, 4) == (7, 2**30, 29)  # half of it
    assert parameters([3, 5], 500, 4) == (5, 1503238554, 29)  # 14 / 5
    assert parameters([1], 1, 8) == (1, 127000 << 14, 14)
    assert parameters([-(2**31), 2**31 - 1], 1000, 4) == (2**31, 7 << 28, 59)  # a magnitude that is no s32
    assert parameters([0, 0], 700, 4) == (0, 0, 1) and parameters([], 700, 4) == (0, 0, 1)


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1), st.integers(1, 1000), st.sampled_from([4, 5, 8]))
def test_the_clip_is_the_highest_code(row, clip_factor, bits):
    highest, multiplier, shift = parameters(row, clip_factor, bits)
    assert highest == max(max(row), -min(row))
    if highest:
        qmax = {4: 7, 5: 15, 8: 127}[bits]
        clip = Fraction(clip_factor, 1000) * highest
        assert 2**30 <= multiplier < 2**31
        assert abs(clip * Fraction(multiplier, 2**shift) / qmax - 1) <= Fraction(1, 2**31)


@pytest.mark.parametrize("bits, qmax", [(4, 7), (5, 15)])
@pytest.mark.parametrize("clip_factor", FACTORS)
def test_every_small_gradient_with_every_random_number(bits, qmax, clip_factor):
    """Against the unrounded scale; the multiplier's last bit may matter only where the sum is an integer exactly."""
    n, row = 3, range(-31, 32)
    highest, multiplier, shift = parameters(row, clip_factor, bits)
    for g in row:
        for r in range(2**n):
            u = Fraction(1000 * qmax * g, clip_factor * highest)
            total = u + Fraction(r, 2**n)
            allowed = {total // 1} if total.denominator != 1 else {total // 1, total // 1 - 1}
            answer, flags = code(g, multiplier, shift, bits, r, n)
            assert answer in {min(max(a, -qmax), qmax) for a in allowed}
            ends = {4 * (a < -qmax) + 8 * (a > qmax) for a in allowed}
            assert flags & 12 in ends
            if u.denominator != 1 and total.denominator != 1:
                assert flags & 32 == 32 * (total // 1 != u // 1)
            assert flags & ~44 == 0


def test_code_by_hand():
    assert code(5, 1, 1, 4, 0, 1) == (2, 0) and code(5, 1, 1, 4, 1, 1) == (3, 32)  # 2.5
    assert code(-5, 1, 1, 4, 0, 1) == (-3, 0) and code(-5, 1, 1, 4, 1, 1) == (-2, 32)
    assert code(15, 1, 1, 4, 0, 1) == (7, 0) and code(15, 1, 1, 4, 1, 1) == (7, 8 | 32)  # 7.5
    assert code(-15, 1, 1, 4, 0, 1) == (-7, 4) and code(-15, 1, 1, 4, 1, 1) == (-7, 32)  # narrow: no -8
    assert code(6, 1, 1, 4, 1, 1) == (3, 0) and code(6, 1, 1, 4, 3, 2) == (3, 0)  # whole numbers stay
    assert code(9, 1, 2, 4, 3, 2) == (3, 32) and code(9, 1, 2, 4, 2, 2) == (2, 0)  # up where 1/4 + r/4 >= 1
    for r in range(16):
        assert code(0, 0, 1, 4, r, 4) == (0, 0)


def test_codes_are_right_on_average():
    n, multiplier, shift = 6, 5, 6
    for g in range(-85, 86):
        answers = [code(g, multiplier, shift, 4, r, n) for r in range(2**n)]
        assert Fraction(sum(c for c, _ in answers), 2**n) == Fraction(g * multiplier, 2**shift)
        assert sum(flags == 32 for _, flags in answers) == g * multiplier % 2**n


@pytest.mark.parametrize("highest", [1, 2, 3, 7, 10, 125])
def test_clipped_in_closed_form(highest):
    """Of -H ... H, those beyond the clip are 2 (H - floor(clip)): a gradient at the clip is inside."""
    row = list(range(-highest, highest + 1))
    for clip_factor in range(1, 1001):
        assert clipped(row, clip_factor, highest) == 2 * (highest - clip_factor * highest // 1000)


def test_clipped_by_hand():
    assert clipped([500, -500, 501, -501, 1000, 0], 500, 1000) == 3
    assert clipped([-(2**31), 2**31 - 1], 1000, 2**31) == 0
    assert clipped([-(2**31), 2**31 - 1], 999, 2**31) == 2
    assert clipped([0, 0], 1, 0) == 0 and clipped([], 1, 0) == 0


@pytest.mark.parametrize("bits, levels", [(4, 15), (5, 31), (8, 255)])
def test_one_clipped_in_a_thousand_times_the_levels(bits, levels):
    """alpha / (2^bits - 1): at the target the factor stays, exactly; no fraction of floats decides."""
    for count in range(1, 4):
        least = 1000 * levels * count
        assert updated(500, count, least - 1, bits) == 501
        assert updated(500, count, least, bits) == 500
        assert updated(500, count, least + 1, bits) == 499
    assert updated(500, 0, 1, bits) == 499
    assert updated(1000, 1, 1, bits) == 1000 and updated(999, 1, 1, bits) == 1000
    assert updated(1, 0, 1, bits) == 1 and updated(2, 0, 1, bits) == 1


@given(st.integers(1, 1000), st.integers(0, 300), st.integers(1, 2**24), st.sampled_from([4, 5, 8]))
def test_the_factor_in_integers(clip_factor, beyond, count, bits):
    """sign(clipped * 1000 * (2^bits - 1) - N), no division."""
    lead = beyond * 1000 * (2**bits - 1) - count
    wanted = clip_factor + (lead > 0) - (lead < 0)
    assert updated(clip_factor, beyond, count, bits) == sorted((1, wanted, 1000))[1]


def test_steps_by_hand():
    told = steps([[5, -10], [0, 0], [8, 9], [-1, 1000]], 999, 4)
    assert [step["highest"] for step in told] == [10, 0, 9, 1000]
    assert [step["clipped"] for step in told] == [1, 0, 0, 1]
    assert [step["clip_factor"] for step in told] == [1000, 1000, 999, 1000]


def test_the_factor_of_a_step_is_the_one_before():
    """Each step is quantized and counted by the factor that the step before left."""
    rows = [[100, 51, 3], [10, -10, 1], [0, 0, 0], [7, 6, 5]]
    factor = 998
    for row, step in zip(rows, steps(rows, factor, 4), strict=True):
        assert parameters(row, factor, 4) == (step["highest"], step["multiplier"], step["shift"])
        assert step["clipped"] == sum(1000 * abs(g) > factor * step["highest"] for g in row)
        factor = step["clip_factor"]
    assert factor == 999


@pytest.mark.parametrize("count, settled", [(14999, {999, 1000}), (15000, {999}), (15001, {599, 600})])
def test_the_factor_settles_where_the_target_is(count, settled):
    """One of `count` gradients is 1000, one 600, the others are 0; the target for 4 bits is one of 15000."""
    clip_factor, path = 1000, []
    for _ in range(500):
        clip_factor = updated(clip_factor, clipped([1000, 600], clip_factor, 1000), count, 4)
        path.append(clip_factor)
    assert path[0] == 999 and set(path[-10:]) == settled


def test_packed_bytes():
    codes = list(range(-8, 8))
    assert bytes(packed_byte([c % 16 for c in range(16)], k) for k in range(8)).hex(" ") == "10 32 54 76 98 ba dc fe"
    assert bytes(packed_byte(codes, k) for k in range(8)).hex(" ") == "98 ba dc fe 10 32 54 76"
    assert packed_byte([1, -1, -7], 0) == 0xF1 and packed_byte([1, -1, -7], 1) == 0x09  # the odd tail is 0


def test_errors():
    for wrong in (lambda: parameters([1], 0, 4), lambda: parameters([1], 1001, 4), lambda: clipped([1], 0, 1),
                  lambda: updated(0, 0, 1, 4), lambda: updated(1001, 0, 1, 4), lambda: updated(1, 0, 0, 4),
                  lambda: steps([[1]], 0, 4), lambda: code(1, 1, 1, 4, 2, 1), lambda: code(1, 1, 1, 4, 0, 0),
                  lambda: packed_byte([1, 2], 1), lambda: packed_byte([1, 2], -1), lambda: packed_byte([], 0)):
        with pytest.raises(ValueError):
            wrong()


def test_notes():
    lines = []
    steps([[3, 5]], 500, 4, note=lines.append)
    code(5, 1, 1, 4, 1, 1, note=lines.append)
    assert lines == ["step 0", "largest magnitude 5, clip 500 / 1000 of it", "scale 14/5 ~ 1503238554 / 2^29",
                     "2 of 2 magnitudes above 500 x 5 / 1000", "clipped 2 of 2, target 1/15000: clip factor 500 -> 501",
                     "5 x 1 = 5, / 2^1", "2.5 + random 1 / 2^1, floor -> 3", "saturated to [-7, 7]: 3"]
