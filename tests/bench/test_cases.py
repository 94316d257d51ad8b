"""Cases and figures of the topics, and the peers that are always there: NumPy's answers are ours."""
import numpy as np
import pytest

from refquant.bench import conv, elementwise, gemm, measure, step, suite
from refquant.bench.plan import Plan
from refquant.bench.rows import Row, Table

PEAK = {"peak": {"gmac_per_second": 100.0, "instruction": "one", "clock_ghz": 3.0}}
PLAN = Plan("rows", "", ["refquant"])


@pytest.mark.parametrize("topic", [conv, elementwise, gemm, step])
def test_names_of_cases_tell_them_apart(topic):
    for quick in (True, False):
        names = [case.name for case in topic.cases(quick)]
        assert names and len(set(names)) == len(names)
    assert len(topic.cases(True)) <= len(topic.cases(False)) and all(case.work > 0 for case in topic.cases(False))


def test_fifteen_shapes():
    assert len(gemm.FIFTEEN) == 15 and gemm.SMALL not in gemm.FIFTEEN and gemm.ONE not in gemm.FIFTEEN
    assert len(gemm.cases(False)) == 18
    assert {case.name: case.work for case in gemm.cases(True)} == {"64 x 64 x 64": 64**3 / 1e9, "256 x 256 x 256": 256**3 / 1e9}


def test_work_of_a_convolution():
    works = {case.name: case.work for case in conv.cases(False)}
    assert works["1 x 64->64, 56x56, forward"] == pytest.approx(64 * 64 * 9 * 56**2 / 1e9)
    assert works["1 x 64->64, 56x56, forward and both gradients"] == pytest.approx(3 * works["1 x 64->64, 56x56, forward"])
    assert works["64 x 64, 16x16, depthwise, forward"] == pytest.approx(64 * 64 * 9 * 16**2 / 1e9)


def row(case, peer, seconds, work=1.0):
    return Row(case, peer, peer.split()[0], gemm.S8, "GMAC/s", work, [seconds])


def test_figures_of_products():
    table = Table([row("64 x 64 x 64", gemm.S8, 1.0), row("64 x 64 x 64", gemm.TORCH, 4.0),
                   row("512 x 512 x 512", gemm.S8, 0.25, 20.0), row("512 x 512 x 512", gemm.TORCH, 0.0625, 20.0),
                   row(gemm.ONE, gemm.S8, 1.0), row(gemm.ONE, gemm.TORCH, 0.5),
                   row(gemm.WIDE, gemm.S16, 1.0), row(gemm.WIDE, gemm.FLOAT64, 3.0)])
    found = {figure.what: figure.value for figure in gemm.figures(table, PEAK, PLAN)}
    assert found["s8*s8 / torch._int_mm, geometric mean of 2 shapes"] == pytest.approx(1.0)
    assert found["s8*s8 / torch._int_mm, worst of 2 shapes"] == 0.25
    assert found[f"s8*s8 / torch._int_mm, {gemm.ONE}"] == 0.5
    assert found[f"s16*s8 / float64 product, {gemm.WIDE}"] == 3.0
    assert found["512 x 512 x 512"] == pytest.approx(80.0)  # GMAC/s of 100
    assert "64 x 64 x 64" not in found
    assert "512 x 512 x 512" not in {figure.what for figure in gemm.figures(table, {"peak": None}, PLAN)}
    two = {figure.what: figure.value for figure in gemm.figures(table, PEAK, Plan("rows", "gemm", [], threads=2))}
    assert two["512 x 512 x 512"] == pytest.approx(40.0)


def test_figures_of_convolutions_take_the_faster_layout():
    layer = f"1 x 64->64, 56x56, {conv.WHOLE}"
    table = Table([row(layer, conv.OURS, 1.0), row(layer, conv.TORCH["NCHW"], 4.0), row(layer, conv.TORCH["channels_last"], 3.0)])
    found = {figure.what: figure.value for figure in conv.figures(table, PEAK, PLAN)}
    assert found == {f"{layer} / torch float32, channels_last": 3.0,
                     f"{conv.WHOLE} / torch float32, geometric mean of the 1 layers of one image": pytest.approx(3.0)}


def test_figures_of_elements():
    table = Table([row("quantize, 1 M", elementwise.OURS, 1.0, 5.0), row("quantize, 1 M", elementwise.NUMPY, 10.0, 5.0),
                   row("quantize, 1 M", elementwise.COPY, 1.0, 8.0), row("requantize mul16, 1 M", elementwise.OURS, 1.0),
                   row("requantize mul16, 1 M", elementwise.NUMPY, 16.0), row("requantize rndnu, 1 M", elementwise.OURS, 1.0),
                   row("requantize rndnu, 1 M", elementwise.NUMPY, 4.0)])
    found = {figure.what: figure.value for figure in elementwise.figures(table, PEAK, PLAN)}
    assert found["quantize, 1 M / NumPy"] == 10.0 and found["quantize, 1 M, refquant"] == pytest.approx(62.5)
    assert found["requantize / NumPy, geometric mean of 2"] == pytest.approx(8.0)
    assert found["requantize / NumPy, worst of 2"] == 4.0


def test_figures_of_suites():
    rows = [Row(f"{group}, level 1", suite.CREATE, "refquant", "", "MB/s", 3.0, [seconds]) for group, seconds in (("a", 1.0), ("b", 2.0))]
    found = [(figure.value, figure.unit) for figure in suite.figures(Table(rows), PEAK, PLAN) if figure.what == suite.CREATE]
    assert found == [(3.0, "s"), (2.0, "MB/s")]


def test_digests_do_not_depend_on_the_type_or_the_order_in_memory():
    a = np.arange(6, dtype=np.int8).reshape(2, 3)
    assert measure.digest(a) == measure.digest(np.asfortranarray(a.astype(np.int32))) == measure.digest(a.astype(">i8"))
    assert measure.digest(a) != measure.digest(a + 1) and measure.digest(None) == ""


def test_reals_that_are_whole():
    assert measure.whole(np.float32([1, -2])).tolist() == [1, -2]
    assert measure.whole(np.float32([1, 0.5])) is None


@pytest.mark.parametrize("name", [gemm.SMALL, gemm.ONE, "linear 256->10, batch 128", gemm.WIDE])
def test_numpy_multiplies_as_we_do(name):
    case = next(one for one in gemm.cases(False) if one.name == name)
    found = {row.peer: row for row in measure.case_rows(case, measure.peers("gemm", case, ["refquant", "numpy"], 1), 1)}
    numpys = [row for row in found.values() if row.library == "numpy"]
    assert len(numpys) == (1 if name == gemm.WIDE else 2)
    assert all(row.digest == found[row.against].digest != "" for row in numpys)
    assert all(row.note for row in found.values() if row.library == "refquant")  # which kernel it took


@pytest.mark.parametrize("operation", elementwise.OPERATIONS)
def test_numpy_answers_what_we_do(operation):
    found = measure.peers("elementwise", elementwise.case_of(operation, "32 K"), ["refquant", "numpy"], 1)
    answers = {peer.name: peer.integers(peer.prepare()()) for _, peer in found}
    ours, numpys = answers[elementwise.OURS], answers[elementwise.NUMPY]
    if "stochastic" in operation:
        assert ours is numpys is None
    else:
        assert ours.shape == numpys.shape and (ours == numpys).all() and len(np.unique(ours)) > 1
