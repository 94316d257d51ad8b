"""Whole steps with one mistake in the middle: the report names the first wrong tensor, and a known mistake by name."""
from dataclasses import replace

import numpy as np
import pytest

from refquant.golden.families.steps import run
from refquant.golden.report import text
from refquant.hardware.step import hindsight, int4

GIVEN = ("rbits_", "state0_")


def device(method, **rules):
    """The steps of ``method`` with some rules of its own; it answers every tensor."""
    wrong = replace(method, **rules)
    return lambda case: run(wrong, case.attrs, {name if name.startswith(GIVEN) else f"in_{name}": array
                                                for name, array in case.inputs.items()})


@pytest.mark.parametrize("method", [hindsight.METHOD, int4.METHOD], ids=["hindsight", "int4"])
def test_the_right_steps_pass(report_on, method):
    report = report_on(f"step_{method.name}_*", device(method))
    assert report.count("pass") == len(report.results) >= 1


def test_the_first_wrong_tensor_is_named(report_on):
    """One gradient lost on its way through conv2's activation: everything computed before is right."""
    def lossy(step, layer, dx, scale):
        g, g_scale = hindsight.activation_gradient(step, layer, dx, scale)
        return (np.where(g == g.max(), 0, g) if layer.name == "conv2" else g), g_scale

    report = report_on("step_hindsight_*", device(hindsight.METHOD, activation_gradient=lossy))
    (result,) = report.results
    assert result.status == "fail" and result.differing[0].name == "mid_0_conv2_g"
    assert len(result.differing) > 20
    (cause,) = report.causes
    assert not cause.mutant and "the first tensor that is wrong is mid_0_conv2_g" in cause.says
    said = text(report)
    assert f"and {len(result.differing) - 3} more tensors that come after; the first of all is mid_0_conv2_g" in said


def test_right_answers_with_a_wrong_intermediate_blame_no_mutant(report_on):
    def off_by_one(case):
        answer = device(hindsight.METHOD)(case)
        return answer | {"mid_0_conv1_acc_scale": answer["mid_0_conv1_acc_scale"] + 1}

    report = report_on("step_hindsight_*", off_by_one)
    (cause,) = report.causes
    assert report.count("fail") == 1 and not cause.mutant
    assert "what must be answered is right" in cause.says and "mid_0_conv1_acc_scale" in cause.says


def test_a_known_mistake_is_named(named):
    def beyond(step, layer, dx, scale):
        return np.where(step.tensors[f"{layer.name}_acc"] > 0, dx, 0), scale

    assert named("step_hindsight_*", device(hindsight.METHOD, activation_gradient=beyond)) == {"not_masked_beyond_range"}
