"""The benches' peers in torch and ONNX Runtime: they do what they are compared for, and every one is timed."""
import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from refquant.autodiff import Tensor  # noqa: E402
from refquant.bench import conv, elementwise, gemm, measure, step  # noqa: E402
from refquant.bench import torch_quantizers as quantizers  # noqa: E402
from refquant.bench.rows import Case  # noqa: E402
from refquant.bench.step_peers import torch_step  # noqa: E402
from refquant.bench.torch_methods import Real, width  # noqa: E402
from refquant.bench.torch_networks import network  # noqa: E402
from refquant.integers import IntFormat, affine, fake_quantize  # noqa: E402
from refquant.training import models, recipe  # noqa: E402
from refquant.training.run import Run  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch, about its own future
EVERYBODY = ["refquant", "torch", "onnxruntime", "numpy"]
RNG = np.random.default_rng(5)


def rows(topic, name, cases):
    case = next(one for one in cases if one.name == name)
    return {row.peer: row for row in measure.case_rows(case, measure.peers(topic, case, EVERYBODY, 1), 1)}


@pytest.mark.parametrize("name", [gemm.SMALL, gemm.ONE, "linear 256->10, batch 128"])
def test_products(name):
    found = rows("gemm", name, gemm.cases(False))
    assert {gemm.TORCH, gemm.TORCH_FLOAT32, gemm.RUNTIME_S8, gemm.RUNTIME_U8, gemm.RUNTIME_CONSTANT} < set(found)
    for peer in (gemm.TORCH, gemm.RUNTIME_S8):
        assert found[peer].digest == found[found[peer].against].digest != "", peer
    for peer in (gemm.RUNTIME_U8, gemm.RUNTIME_CONSTANT):  # may saturate, without VNNI
        assert len(found[peer].digest) == 64, peer


@pytest.mark.parametrize("part", [conv.FORWARD, conv.WHOLE])
def test_convolutions(part):
    found = rows("conv", f"8 x 16->32, 14x14, {part}", conv.cases(True))
    peers = [*conv.TORCH.values(), *([conv.RUNTIME_S8] if part == conv.FORWARD else [])]
    assert set(found) == {conv.OURS, *peers, *([conv.RUNTIME_U8] if part == conv.FORWARD else [])}
    assert {found[peer].digest for peer in peers} == {found[conv.OURS].digest}


def test_elements():
    found = rows("elementwise", "quantize, 32 K", elementwise.cases(True))
    for peer in ("torch.quantize_per_tensor", "torch clamp(round(x * inverse) + zero)"):
        assert found[peer].digest == found[elementwise.RECIPROCAL].digest != ""
    assert found["torch.fake_quantize_per_tensor_affine"].digest == ""


def test_torch_quantizes_on_our_grid():
    x = RNG.standard_normal((4, 3, 5, 5)).astype(np.float32)
    for bits in (8, 16):
        scale, zero_point = affine.gemmlowp(float(x.min()), float(x.max()), IntFormat(bits, signed=False))
        ours = fake_quantize(x, scale, IntFormat(bits, signed=False), zero_point=zero_point, division="reciprocal")
        theirs = quantizers.asymmetric(torch.from_numpy(x), torch.tensor(x.min()), torch.tensor(x.max()), bits).numpy()
        assert np.abs(ours - theirs).max() <= 1.01 * scale and np.mean(np.abs(ours - theirs) > 1e-3 * scale) < 0.01


def test_torch_rounds_gradients_stochastically():
    g = torch.full((100_000,), 0.3)
    quantized = quantizers.dithered(g, 0.25, 2.0, 0, 15)
    assert set(quantized.tolist()) == {0.25, 0.5} and abs(float(quantized.mean()) - 0.3) < 2e-3
    assert quantizers.dithered(torch.tensor([99.0, -99.0]), 0.25, 2.0, 0, 15).tolist() == [13 * 0.25, -2 * 0.25]


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5, 5)])
def test_width_of_channels(shape):
    x = torch.from_numpy(RNG.standard_normal(shape).astype(np.float32)).requires_grad_()
    others = tuple(d for d in range(x.ndim) if d != 1)
    assert torch.equal(width(x), x.amax(others) - x.amin(others))
    assert torch.equal(*(torch.autograd.grad(of.sum(), x)[0] for of in (width(x), x.amax(others) - x.amin(others))))


def test_gradients_of_a_bifurcated_product_are_of_their_own_copies():
    x, w = (torch.from_numpy(RNG.standard_normal(shape).astype(np.float32)).requires_grad_() for shape in ((2, 3, 6, 6), (4, 3, 3, 3)))
    layer = torch.nn.Conv2d(3, 4, 3, 2, 1)
    y = quantizers.Bifurcated.apply(x, w, layer, lambda g: 2 * g, lambda g: 3 * g)
    g = torch.from_numpy(RNG.standard_normal(y.shape).astype(np.float32))
    for_x, for_w = torch.autograd.grad(y, (x, w), g)
    plain = torch.autograd.grad(torch.nn.functional.conv2d(x, w, None, 2, 1), (x, w), g)
    assert torch.allclose(for_x, 2 * plain[0], atol=1e-5) and torch.allclose(for_w, 3 * plain[1], atol=1e-5)


@pytest.mark.parametrize("kind", step.KINDS)
@pytest.mark.parametrize("model, method", [("cnn", "hindsight-8"), ("cnn", "banner-8"), ("resnet20", "banner-8"), ("resnet20", "int4-4")])
def test_networks_learn_their_batch(model, method, kind):
    case = Case("", 8.0, "", {"model": model, "size": 8, "batch": 8, "method": method})
    call = torch_step(case, kind, "channels_last", 1)
    losses = [call() for _ in range(12)]
    assert all(map(math.isfinite, losses)) and min(losses[6:]) < 0.8 * losses[0]


@pytest.mark.parametrize("model, channels", [("cnn", 1), ("resnet20", 3)])
def test_networks_have_our_shapes(model, channels):
    theirs = network(model, 8, Real())
    run = Run({}, {}, {}, training=True)
    models.model(model, recipe("float"), channels, 8, 10)(Tensor(RNG.standard_normal((2, channels, 8, 8))), run)
    weights = sorted(array.shape for name, array in run.parameters.items() if name.endswith(".w"))
    assert sorted(tuple(p.shape) for p in theirs.parameters() if p.ndim > 1) == weights


def test_every_peer_of_a_step_is_timed(refquant, tmp_path):
    path = tmp_path / "found.json"
    done = refquant("bench", "step", "--quick", "--rounds", "1", "--json", path, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(path.read_text())
    assert found["missing"] == {} and {row["peer"] for row in found["rows"]} == {
        step.OURS, *(step.torch_peer(kind, layout) for kind in step.KINDS for layout in step.LAYOUTS)}
    assert len([figure for figure in found["figures"] if figure["unit"] == "MB"]) == 4
    shares = [figure["value"] for figure in found["figures"] if figure["section"].startswith("where a step goes")]
    assert sum(shares) == pytest.approx(100)
