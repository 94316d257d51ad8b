"""The scripts of the interactive figures, in Chromium, against the numbers of the library: equal, to the last bit."""
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest

from refquant.integers import IntFormat, quantize, ste_gradient
from refquant.integers.rounding import MODES
from refquant.quantizers.n2uq import expected_level, n2uq_quantize
from refquant.quantizers.sat import pact

STATIC = Path(__file__).parents[2] / "chapters" / "_static"
TIES = [0.49999999999999994, 0.5, 1.5, 2.5, 2.4999999999999996, 3.0, 1e-300, 4503599627370495.5]
X = sorted({float(x) for x in np.concatenate([np.linspace(-1.6, 1.6, 65), np.arange(-8, 9) / 14, np.arange(-8, 9) / 6])})
Z = sorted({float(z) for z in np.concatenate([np.linspace(-1, 4, 51), [0.1, 0.3, 0.5, 0.95, 1.4, 2.15, 2.9]])})
INTERVALS = [([0.4, 0.9, 1.5], 0.1), ([2 / 3] * 3, 0.0), ([0.1, 2.0, 0.35], -0.5)]


@pytest.fixture(scope="module")
def computed(dom, tmp_path_factory):
    """What a script, given the arithmetic, returns: as JSON has it, so that no bit of a float is lost."""
    def computed(script: str, **given):
        page = tmp_path_factory.mktemp("js") / "page.html"
        page.write_text(f"""<!DOCTYPE html><meta charset="utf-8"><pre id="answer"></pre>
<script src="{(STATIC / 'arithmetic.js').as_uri()}"></script>
<script>const given = {json.dumps(given)};
document.getElementById("answer").textContent = JSON.stringify((() => {{ {script} }})());</script>""")
        return json.loads(html.unescape(re.search(r'<pre id="answer">(.*?)</pre>', dom(page), re.DOTALL)[1]))
    return computed


def test_rounding(computed):
    values = [*TIES, *(-x for x in TIES), *X]
    answers = computed("return given.modes.map((mode) => given.values.map((x) => round(mode, x)));",
                       modes=list(MODES), values=values)
    for mode, found in zip(MODES.values(), answers, strict=True):
        np.testing.assert_array_equal(found, mode(np.array(values)), mode.name)


@pytest.mark.parametrize("signed", [True, False])
def test_quantizer(computed, signed):
    settings = [(bits, clip, mode) for bits in (2, 3, 6) for clip in (0.3, 1.0, 1.5) for mode in MODES]
    answers = computed("""return given.settings.map(([bits, clip, mode]) => {
        const q = quantizer({ bits, clip, mode, signed: given.signed });
        return given.x.map((x) => [q.code(x), q.value(x), q.gradient(x)]);
    });""", settings=settings, x=X, signed=signed)
    for (bits, clip, mode), found in zip(settings, answers, strict=True):
        format = IntFormat(bits, signed=signed, narrow=signed)
        scale = clip / format.qmax
        expected = quantize(np.array(X), scale, format, rounding=mode)
        codes, values, slopes = np.array(found).T
        np.testing.assert_array_equal(codes, expected.codes)
        np.testing.assert_array_equal(values, expected.value)
        np.testing.assert_array_equal(slopes, ste_gradient(np.ones(len(X)), np.array(X), scale, format))


def test_pact(computed):
    settings = [(bits, alpha) for bits in (2, 3, 4) for alpha in (0.5, 1.0, 1.45)]
    points = [*X, 2.0, *(alpha for _, alpha in settings)]
    answers = computed("""return given.settings.map(([bits, alpha]) => {
        const q = pact({ bits, alpha });
        return given.x.map((x) => [q.value(x), q.clipped(x), q.calibrated(x)]);
    });""", settings=settings, x=points)
    for (bits, alpha), found in zip(settings, answers, strict=True):
        values, clipped, calibrated = np.array(found).T
        x, alpha = np.array(points), np.array(alpha)
        np.testing.assert_array_equal(values, pact(x, alpha, bits=bits).value)
        for calibrate, slopes in ((False, clipped), (True, calibrated)):
            expected = [gradient(pact, x[i:i + 1], alpha, bits=bits, calibrated=calibrate)[1] for i in range(len(x))]
            np.testing.assert_array_equal(slopes, expected)


def test_thresholds(computed):
    answers = computed("""return given.settings.map(([a, start]) => {
        const q = thresholds({ a, start });
        return given.z.map((z) => [q.level(z), q.expected(z), q.slope(z), ...a.map((_, k) => q.lengthSlope(z, k + 1))]);
    });""", settings=INTERVALS, z=Z)
    one = np.array(1.0)
    for (a, start), found in zip(INTERVALS, answers, strict=True):
        levels, expected, slopes, *of_lengths = np.array(found).T
        a, start, z = np.array(a), np.array(start), np.array(Z)
        np.testing.assert_array_equal(levels, n2uq_quantize(z, a, start, one, one, bits=2).codes)
        np.testing.assert_array_equal(expected, expected_level(z, a, start, one, one, bits=2))
        for i in range(len(z)):
            g_z, g_a, *_ = gradient(n2uq_quantize, z[i:i + 1], a, start, one, one, bits=2)
            assert slopes[i] == g_z[0]
            np.testing.assert_array_equal([slope[i] for slope in of_lengths], g_a)


def gradient(op, *inputs, **params):
    """The op's own rule, for a gradient of 1."""
    out = op.forward(*inputs, **params)
    return op.backward(np.ones(out.shape), out, *inputs, **params)


MOVED = """<script>
addEventListener("load", () => {
  const answers = [];
  for (const [kind, values] of %s) {
    const root = document.querySelector(`.${kind}-figure`);
    for (const [name, value] of Object.entries(values)) root.querySelector(`[name=${name}]`).value = value;
    root.querySelector("form").dispatchEvent(new Event("input"));
    const curves = [...root.querySelectorAll("path.curve")].map((path) => [path.dataset.name, path.getAttribute("d")]);
    answers.push({ text: root.querySelector("output").textContent, curves: Object.fromEntries(curves) });
  }
  document.getElementById("answer").textContent = JSON.stringify(answers);
});
</script>"""


def test_sliders_move_the_curves(dom, tmp_path):
    """What stands below a figure are the library's numbers; the drawn staircase has as many steps as codes."""
    moves = [("quantizer", {"bits": 2, "clip": 0.9, "mode": "floor", "format": "unsigned"}),
             ("quantizer", {"bits": 4, "clip": 1.2, "mode": "half_away", "format": "signed, narrow"}),
             ("pact", {"bits": 3, "alpha": 1.1}), ("thresholds", {"start": -0.2, "a1": 0.5, "a2": 0.25, "a3": 1.75})]
    page = tmp_path / "page.html"
    page.write_text("".join([
        '<!DOCTYPE html><meta charset="utf-8"><pre id="answer"></pre>',
        *(f'<div class="{kind}-figure"></div>' for kind in ("quantizer", "pact", "thresholds")),
        *(f'<script src="{(STATIC / name).as_uri()}"></script>' for name in ("arithmetic.js", "figures.js")),
        MOVED % json.dumps(moves)]))
    first, second, third, fourth = json.loads(
        html.unescape(re.search(r'<pre id="answer">(.*?)</pre>', dom(page), re.DOTALL)[1]))

    for shown, format, clip, mode in ((first, IntFormat(2, signed=False), 0.9, "floor"),
                                      (second, IntFormat(4, narrow=True), 1.2, "half_away")):
        scale = clip / format.qmax
        at = quantize(np.array([0.4]), scale, format, rounding=mode)
        assert shown["text"] == (f"scale {scale}; x = 0.4 has the code {at.codes[0]}, the value {at.value[0]}, "
                                 "the gradient 1")
        x = np.linspace(-1.6, 1.6, 1201)
        assert len(heights(shown["curves"]["quantized"])) == len(np.unique(quantize(x, scale, format, rounding=mode).codes))

    x, alpha = np.array([0.7]), np.array(1.1)
    slope = gradient(pact, x, alpha, bits=3, calibrated=True)[1]
    assert third["text"] == (f"x = 0.7: y = {pact(x, alpha, bits=3).value[0]}, dy/d\u03b1 = {slope} by CG-PACT, 0 by PACT")
    assert len(heights(third["curves"]["y"])) == 8

    a, start, one, z = np.array([0.5, 0.25, 1.75]), np.array(-0.2), np.array(1.0), np.array([0.9])
    g_z, g_a, *_ = gradient(n2uq_quantize, z, a, start, one, one, bits=2)
    numbers = [float(number) for number in re.findall(r"-?\d[\d.e-]*", fourth["text"].replace("z = 0.9:", ""))]
    assert numbers == [n2uq_quantize(z, a, start, one, one, bits=2).codes[0],
                       expected_level(z, a, start, one, one, bits=2)[0], g_z[0], *g_a]
    assert len(heights(fourth["curves"]["q(z)"])) == 4


def heights(path: str) -> set[str]:
    """The heights of a drawn staircase."""
    return set(re.findall(r"[ML][\d.]+ (-?[\d.]+)", path))
