"""Models: what they answer, how many numbers they learn, which place of the recipe each product stands at."""
import functools
from dataclasses import dataclass

import numpy as np
import pytest

from refquant.autodiff import Tensor, recorded
from refquant.integers import Fixed, IntFormat
from refquant.training.layers import BatchNorm, RPReLU
from refquant.training.methods import recipe
from refquant.training.models import MODELS, model
from refquant.training.quantizing import Quantizers, Recipe, as_reals
from refquant.training.run import Run

RNG = np.random.default_rng(11)


def images(channels, size, batch=2):
    return Tensor(Fixed(RNG.integers(0, 17, (batch, channels, size, size)).astype(np.uint8), 1 / 16, IntFormat(8, signed=False)))


def passed(name, recipe=None, channels=1, size=8):
    """``(output, run)``; edsr takes images of half the size."""
    run = Run({}, {}, {}, training=True)
    shown = size // 2 if name == "edsr" else size
    return model(name, recipe or Recipe("float"), channels, size, 10)(images(channels, shown), run), run


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("channels, size", [(1, 8), (3, 12), (2, 4)])
def test_output_shapes(name, channels, size):
    y, _ = passed(name, channels=channels, size=size)
    assert y.shape == ((2, channels, size, size) if name == "edsr" else (2, 10))
    assert np.isfinite(y.value).all() and len(np.unique(y.value)) > 10


def mobilenet_parameters():
    """Sandler et al., table 1: 1x1 to 4 times the channels, 3x3 each, 1x1 down; three batch norms."""
    total, inputs = 3 * 16 * 9 + 2 * 16, 16
    for outputs in (16, 24, 24, 32, 32):
        wide = 4 * inputs
        total += inputs * wide + 2 * wide + 9 * wide + 2 * wide + wide * outputs + 2 * outputs
        inputs = outputs
    return total + 32 * 64 + 2 * 64 + 64 * 10 + 10


@pytest.mark.parametrize("name, channels, size, expected", [
    ("mlp", 1, 8, 64 * 128 + 128 * 128 + 2 * 2 * 128 + 128 * 10 + 10),
    ("cnn", 1, 8, 16 * 9 + 32 * 16 * 9 + 2 * (16 + 32 + 64) + 128 * 64 + 64 * 10 + 10),
    ("cnn", 3, 12, 3 * 16 * 9 + 32 * 16 * 9 + 2 * (16 + 32 + 64) + 288 * 64 + 64 * 10 + 10),
    ("resnet20", 3, 8, 272_474),     # as others count CIFAR's ResNet-20 with 1 x 1 convolutions as shortcuts
    ("preresnet20", 3, 8, 272_282),  # the same with batch norm before each convolution
    ("mobilenet", 3, 8, mobilenet_parameters()),
    ("edsr", 1, 8, (9 * 16 + 16) + 9 * (16 * 16 * 9 + 16) + (16 * 64 * 9 + 64) + (16 * 9 + 1)),
])
def test_parameter_counts(name, channels, size, expected):
    _, run = passed(name, channels=channels, size=size)
    assert sum(value.size for value in run.parameters.values()) == expected
    assert set(run.kinds) == set(run.parameters)
    assert all((kind in ("weight", "depthwise")) == name.endswith(".w") for name, kind in run.kinds.items())
    depthwise = [name for name, kind in run.kinds.items() if kind == "depthwise"]  # which is not decayed
    assert depthwise == ([f"block{i}.each.w" for i in range(5)] if name == "mobilenet" else [])


@dataclass(frozen=True)
class Noting:
    """Quantizers that note where they stand, and change nothing."""

    place: str
    notes: list

    def quantizers(self):
        return Quantizers(self.weight, self.activation)

    def weight(self, w, run, name):
        self.notes.append((name, self.place))
        return w

    def activation(self, x, run, name, signed):
        x = as_reals(x)
        self.notes.append((name, signed, bool((x.value < 0).any())))
        return x


@functools.cache
def noted(name, size=8):
    notes = []
    places = {place: Noting(place, notes).quantizers() for place in ("first", "inner", "last")}
    passed(name, Recipe("noting", **places), size=size)
    return notes


@pytest.mark.parametrize("name, products", [("mlp", 3), ("cnn", 4), ("resnet20", 22), ("preresnet20", 22), ("mobilenet", 18),
                                            ("edsr", 12)])
def test_the_first_and_the_last_product(name, products):
    places = [note[1] for note in noted(name) if note[0].endswith(".w")]
    assert places == ["first", *["inner"] * (products - 2), "last"]


@pytest.mark.parametrize("name", MODELS)
def test_what_is_called_signed_is(name):
    """And nothing else is ever negative."""
    inputs = [note for note in noted(name) if note[0].endswith(".x")]
    assert inputs
    for place, signed, negative in inputs:
        assert signed == negative, place


@pytest.mark.parametrize("name", MODELS)
def test_names_are_of_their_own(name):
    """A name met twice would share its parameters."""
    names = [note[0] for note in noted(name)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name, norms, bends", [("mlp", 2, 2), ("cnn", 3, 3), ("resnet20", 21, 19), ("preresnet20", 19, 19),
                                                ("mobilenet", 17, 12), ("edsr", 0, 4)])
def test_a_recipe_brings_its_own_norm_and_nonlinearity(name, norms, bends):
    made = []

    def norm(name, channels):
        made.append(("norm", name, channels))
        return BatchNorm(name, channels)

    def nonlinearity(name, channels):
        made.append(("bend", name, channels))
        return RPReLU(name, channels)

    _, run = passed(name, Recipe("x", norm=norm, nonlinearity=nonlinearity))
    assert [sum(kind == which for kind, *_ in made) for which in ("norm", "bend")] == [norms, bends]
    assert all(run.parameters[f"{name}.{'gamma' if kind == 'norm' else 'slope'}"].shape == (channels,) for kind, name, channels in made)


def test_preresnet_normalizes_first_and_resnet_last():
    order = [note[0] for note in noted("preresnet20") if note[0].endswith(".x")]
    assert order[:3] == ["conv.x", "s0b0.conv1.x", "s0b0.conv2.x"] and order[-1] == "fc.x"


def test_depthwise_weights_are_one_filter_a_channel():
    _, run = passed("mobilenet")
    assert run.parameters["block1.each.w"].shape == (64, 1, 3, 3)


def test_an_unknown_model():
    with pytest.raises(ValueError, match="'vgg'") as caught:
        model("vgg", Recipe("float"), 1, 8, 10)
    assert all(name in str(caught.value) for name in MODELS)


def test_products_that_no_norm_follows_are_rescaled():
    """EDSR has no norm: SAT's weights then have n_out VAR = 1, N2UQ's the scale of their own."""
    with recorded() as calls:
        model("edsr", recipe("sat-4"), 1, 8, 10)(images(1, 4), Run({}, {}, {}, training=True))
    inner = [call.b.value for call in calls[1:]]
    assert len(inner) == 11
    for w in inner:
        assert w.shape[0] * 9 * np.var(w, ddof=1) == pytest.approx(1)
    assert recipe("n2uq-2").bare.weight.variant == "authors" and recipe("float").bare is None
