"""The same bits everywhere: every method and every model, a few steps each, one process an environment.

The digests below are of parameters, state, the optimizer's memory, losses and answers. They change only when what a
method computes changes; another NumPy, another processor or another number of threads must give the same.
"""
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from refquant.training import Recipe, Settings, Trainer, Training, recipe
from refquant.training.data import Dataset, load
from refquant.training.methods import COMPARED, banner, hindsight, int4

DIGESTS = {
    "float": "bae4a0310f7ead575f62a180257f6f7d022655dea7e3a6cca27d1d8f569853a7",
    "banner-8": "6ea04b17e974c88046d2a555e1178d5b63359b117aa482766315368e4fc63801",
    "banner-4": "08e3cd9f98333dec115c034d2f1df0e331c0681c1a163f60a30a6f50257e54ce",
    "sat-8": "785c430334c51528675f85a5a9764ae35311e2b3e2d75ab1e1fcc025268d36dd",
    "sat-4": "03b8ca5837697f1ac415f040ab4577025c9cb90568608e908e7ff993a3d322e0",
    "sat-3": "038bf54bd005096675e4c26fd6f350aab2a1641fe8dbb41a5e680039b347ec83",
    "sat-2": "b01cde1443fb50b77e2b17b3c4d04b3a60ef3651bef4f960701e76b7d30f4141",
    "n2uq-4": "bdb6b1433a74686336ddf66f77a423b74500ab7b5b63e3891c33c54dfc8641b4",
    "n2uq-3": "6864996e36cbe16d69537327c007d11a8a28083529146749664e7f8965e2aff3",
    "n2uq-2": "d64df4db557575d4f5d6f7b03f6066c5a6bbe96e730b858e602a442b6460fa8c",
    "hindsight-8": "bd92a1b6f076df9b7861c9d33ccf84c8a877e6bf05a0f4477841bfc3148b9cb9",
    "int4-4": "5e7253658cc00a2d189715175d6989db572998dc47cb314c02313034025a154f",
    "int4-5": "81c90548ba3a51f6100606ce681aac52e2fc0d0a86a225b6de22734434302ae4",
    "banner-4+hindsight": "088ef707a98f6cab05beddff6ebeac021d8d714a08c19b3890a432bf630b2aec",
    "int4-4+running": "b7fea77a19fe1f2f70c7e3bf62208287f4262c976f1599f4209f87a2718c188a",
    "banner-8 authors": "2a96888e8611f8c8295ab39c0f3ce131fac717931af06535728edb7a81d19f1f",
    "sat-4 authors": "cba1d9ec5a135e4acea50fcc5e5dafc81cde0abd10bdac8efed371929ad27c38",
    "n2uq-2 authors": "5c0284489cfccfda371ffbbeeefba601c9fb01ba2123952d5fab1390db607e36",
    "int4-4 authors": "0ba4d3bda8c579ed453551dfba2ccb71a7e6128addd3885f6f12ea8fd07d33e7",
    "dsgc": "c331cd7d6b0588e997ca367155f5e60eb363209684e1fa51a67a61acf03de705",
    "mixed": "4b00cba3558d476fc43efdd47ce2279a4cf821e0eb64c1c2056a7bda5f8d6d48",
    "banner-8 mlp": "9db5e544ec66a84476cc43e056d1aaa12cf62ccebbdb22f500568578f7f095ba",
    "sat-3 resnet20": "fe920ccf7b715443f96b3667dd2b58a8f1cb8fdc3a87a63c0f40af4b9704714a",
    "n2uq-2 preresnet20": "be5a44c148aa746945c42e40a1da4e436df23bd90f8e3028a29532c22b6695c2",
    "float mobilenet": "7d31bd292c15b869083562ded4e3a8db5dac7ac8c159bfb5e138e91925866f9a",
    "int4-4 edsr": "f9919a2f449a8ea8f4d5db93662ccfee1b1818e906d4160bf163670e0189fa9b",
}

ENVIRONMENTS = {
    "one thread": {"NUMBA_NUM_THREADS": "1"},
    "two threads": {"NUMBA_NUM_THREADS": "2"},
    "without the compiler": {"NUMBA_DISABLE_JIT": "1"},
    "without AVX-512 and AVX2": {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR AVX2 FMA3 AVX512F AVX512CD AVX512_SKX",
                                 "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
}
STEPS, BATCH = 3, 12
AUTHORS = ("banner-8", "sat-4", "n2uq-2", "int4-4")
ESTIMATING = ("banner-4+hindsight", "int4-4+running")
MODELS = {"mlp": "banner-8", "resnet20": "sat-3", "preresnet20": "n2uq-2", "mobilenet": "float", "edsr": "int4-4"}


def mixed() -> Recipe:
    """INT4's weights and in-hindsight's gradients inside Banner's network."""
    base = banner.recipe(8)
    gradient = hindsight.Gradient(8)
    return replace(base, inner=replace(base.inner, weight=int4.Weight(4), input_gradient=gradient, weight_gradient=gradient))


def runs() -> dict[str, tuple[Recipe, Settings]]:
    """What is trained, by name."""
    found = {name: (recipe(name), Settings(name)) for name in (*COMPARED, *ESTIMATING)}
    found |= {f"{name} authors": (recipe(name, "authors"), Settings(name, "authors")) for name in AUTHORS}
    found["dsgc"] = hindsight.recipe(8, dsgc=True), Settings("hindsight-8")
    found["mixed"] = mixed(), Settings("banner-8")
    found |= {f"{name} {model}": (recipe(name), Settings(name, model=model, pad=1, flip=True)) for model, name in MODELS.items()}
    return found


def few_digits() -> Dataset:
    whole = load("digits")
    size = STEPS * BATCH
    return Dataset("few", whole.train_x[:size], whole.train_y[:size], whole.test_x[:BATCH], whole.test_y[:BATCH], 10, 16)


def trained(which: Recipe, settings: Settings, data: Dataset) -> str:
    """SHA-256 of all that `STEPS` steps leave behind, and of the answers after them."""
    trainer = Trainer(replace(settings, epochs=1, batch=BATCH), which, data)
    training, losses = Training(trainer.settings), []
    for step in range(STEPS if settings.model == "cnn" else 2):  # the other models are larger
        chosen = slice(step * BATCH, (step + 1) * BATCH)
        training, loss = trainer.step(training, data.train_x[chosen], data.train_y[chosen])
        losses.append(loss)
    found = {"losses": np.array(losses), "answers": trainer.answer(training, data.test_x)}
    for part in ("parameters", "state", "memories"):
        found |= {f"{part}/{name}": value for name, value in getattr(training, part).items()}
    sha = hashlib.sha256()
    for name in sorted(found):
        value = np.ascontiguousarray(found[name], "<f8")
        sha.update(f"{name} {np.shape(found[name])}\n".encode() + value.tobytes())
    return sha.hexdigest()


def digests() -> dict[str, str]:
    data = few_digits()
    return {name: trained(which, settings, data) for name, (which, settings) in runs().items()}


@pytest.fixture(scope="module")
def here():
    return digests()


def test_the_digests_of_this_environment(here):
    assert here == DIGESTS


def test_every_run_is_one_of_its_own(here):
    """What is told apart by name differs in its bits, too: no option is ignored."""
    assert len(set(here.values())) == len(here) == len(DIGESTS)


def test_compiled_kernels_take_part(monkeypatch):
    """Or the compiler would make no difference."""
    from refquant.gemm import kernels as integer
    from refquant.quantizers import kernels as quantizers
    from refquant.reals import kernels as real
    called = []
    for module, name in ((integer, "multiply"), (real, "matmul"), (quantizers, "codes")):
        kernel = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, of=module, kernel=kernel: called.append(of) or kernel(*a))
    for name in ("float", "banner-8"):
        trained(*runs()[name], few_digits())
    assert integer in called and real in called and quantizers in called


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_digests_of_another_environment(environment):
    done = subprocess.run([sys.executable, "-W", "ignore", __file__], env=os.environ | ENVIRONMENTS[environment],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == DIGESTS


if __name__ == "__main__":
    print(json.dumps(digests(), indent=0))
