"""What every operation must have: two implementations that agree, stimuli that repeat, mutants that die."""
import dataclasses

import fastjsonschema
import numpy as np
import pytest

from refquant.golden import schema, vector
from refquant.golden.operation import dtype_of
from refquant.golden.operations import OPERATIONS
from refquant.golden.schema import record

every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


@every_operation
def test_level_1_kills_every_mutant_whatever_the_seed(operation):
    """Seed 0 is the level-1 suite's own, which is audited. A mutant that one case has killed is not tried on others."""
    alive = operation
    for stimulus in operation.stimuli(1, 1):
        if alive.mutants:
            results = operation.reference(stimulus.attrs, stimulus.inputs)
            killed = vector.kills(alive, stimulus.attrs, stimulus.inputs, results)
            alive = dataclasses.replace(alive, mutants=tuple(m for m in alive.mutants if m.name not in killed))
    assert [mutant.name for mutant in alive.mutants] == []


@every_operation
def test_both_implementations_agree_on_another_seed(operation):
    alone = dataclasses.replace(operation, mutants=())
    for index, stimulus in enumerate(operation.stimuli(1, 2**64 - 1)):
        built = vector.build(alone, stimulus, 2**64 - 1, f"case{index}")  # raises Disagreement
        assert {name: array.dtype for name, array in built.tensors.items()} == {
            name: dtype_of(format) for name, format in operation.tensors(stimulus.attrs).items()}


@every_operation
def test_a_wrong_reference_is_found_out(operation):
    """The scalar model must notice one element that is off by one, in any tensor and at any place."""
    stimulus = next(operation.stimuli(1, 0))
    right = operation.reference(stimulus.attrs, stimulus.inputs)
    for name in list(right)[::max(1, len(right) // 8)]:  # a whole step has a hundred tensors
        wrong = right[name].copy()
        wrong.reshape(-1)[-1] += 1
        with pytest.raises(vector.Disagreement, match=name):
            vector.build(_with_reference(operation, right | {name: wrong}), stimulus, 0, "case")


def _with_reference(operation, results):
    return dataclasses.replace(operation, reference=lambda attrs, inputs: results, mutants=())


@every_operation
def test_attributes_are_those_of_the_schema(operation):
    validate = fastjsonschema.compile(record(operation.attributes))
    for stimulus in operation.stimuli(1, 0):
        validate(stimulus.attrs)


@every_operation
def test_attributes_outside_the_schema_are_refused(operation):
    validate = fastjsonschema.compile(record(operation.attributes))
    attrs = next(operation.stimuli(1, 0)).attrs
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        validate(attrs | {"surplus": 1})
    for name in attrs:
        with pytest.raises(fastjsonschema.JsonSchemaValueException):
            validate({key: value for key, value in attrs.items() if key != name})
        with pytest.raises(fastjsonschema.JsonSchemaValueException):
            validate(attrs | {name: [["no such value"]]})


@every_operation
def test_stimuli_repeat(operation):
    for one, other in zip(operation.stimuli(1, 5), operation.stimuli(1, 5), strict=True):
        assert (one.label, one.attrs) == (other.label, other.attrs)
        assert all(np.array_equal(array, other.inputs[name]) for name, array in one.inputs.items())


@every_operation
def test_level_2_starts_with_level_1(operation):
    level_1 = [(stimulus.label, stimulus.level) for stimulus in operation.stimuli(1, 0)]
    level_2 = [(stimulus.label, stimulus.level) for stimulus in operation.stimuli(2, 0)]
    assert level_2[:len(level_1)] == level_1
    assert {level for _, level in level_2[len(level_1):]} == {2}


@every_operation
def test_mutants_have_names_of_their_own(operation):
    names = [mutant.name for mutant in operation.mutants]
    assert len(names) == len(set(names))


def test_every_attribute_pattern_compiles():
    fastjsonschema.compile(schema.case_schema(OPERATIONS.values()))
    fastjsonschema.compile(schema.suite_schema())


# What vectors.md lists, for the groups that exist, each with an operation and a mutant of ours that is it.
PUBLISHED = {
    "rounding pairs": [("rounding.shift", f"{a}->{b}") for a in ("half_even", "half_away", "half_up", "half_down", "floor",
                       "trunc") for b in ("half_even", "half_away", "half_up", "half_down", "floor", "trunc") if a != b],
    "single for double": [("requantize.requantize", "tosa_double->tosa_single")],
    "tosa_double for ruy_double": [("requantize.requantize", "ruy_double->tosa_double")],
    "fp32 for integer": [("requantize.requantize", "tosa_double->fp32_rint")],
    "16-bit multiplier": [("requantize.requantize", "tosa_single->mul16")],
    "zero point": [("gemm.forward", "zero_point_before"), ("gemm.forward", "zero_point_omitted"),
                   ("quantize.quantize", "zero_point_after")],
    "bias": [("gemm.forward", "bias_after_requantization"), ("conv.forward", "bias_omitted")],
    "overflow": [("requantize.requantize", "wraps"), ("requantize.requantize", "narrow"), ("quantize.quantize", "saturates"),
                 *(("gemm.forward", f"accumulator_{bits}") for bits in (16, 20, 24, 31)),
                 ("gemm.dw", "saturate_running->saturate_final")],
    "extension": [("gemm.forward", "a_sign_extended"), ("gemm.forward", "b_zero_extended"),
                  ("quantize.unpack", "sign_extended"), ("quantize.unpack", "zero_extended")],
    "nibbles": [("quantize.pack", "halves_swapped"), ("quantize.pack", "tail_dropped"), ("quantize.unpack", "tail_dropped")],
    "channels": [("gemm.forward", "first_channel_for_all"), ("quantize.quantize", "wrong_axis")],
    "products": [("gemm.dx", "w_not_transposed"), ("gemm.dw", "result_transposed"), ("conv.dx", "kernel_not_rotated"),
                 ("conv.forward", "padding_with_code_0"), ("gemm.forward", "last_term_dropped"),
                 ("gemm.db", "wrong_axis"), ("conv.db", "wrong_axes"), ("conv.forward", "stride_dilation_swapped")],
    "mask": [("quantize.ste", "open_at_qmin"), ("quantize.ste", "open_at_qmax")],
    "stochastic": [("stochastic.shift", "r_from_1_to_2^n"), ("stochastic.shift", "lane_off_by_one"),
                   ("stochastic.shift", "bits_at_wrong_end"), ("stochastic.shift", "sign_magnitude")],
    "PACT": [("pact.backward", "alpha_inside"), ("pact.backward", "calibrated_missing"), ("pact.backward", "calibrated_unclipped")],
    "Range BN": [("rangebn.forward", "range_over_whole_tensor"), ("rangebn.forward", "range_per_sample"),
                 ("rangebn.forward", "constant_missing"), ("rangebn.backward", "every_tie_credited")],
    "N2UQ": [("n2uq.forward", "at_or_above->above"), ("n2uq.forward", "thresholds_at_segment_ends")],
    "in hindsight": [("hindsight.trajectory", "current_range"), ("hindsight.trajectory", "momentum_swapped"),
                     ("hindsight.trajectory", "statistics_after_quantization")],
    "INT4": [("int4.trajectory", "target_alpha"), ("int4.trajectory", "at_the_clip_counts"), ("int4.trajectory", "levels_2^bits"),
             ("int4.trajectory", "maximum_of_yesterday"), ("int4.trajectory", "sign_of_0_is_1")],
    "bifurcation": [("gemm.bifurcated", "input_copy_for_both"), ("conv.bifurcated", "weight_copy_for_both")],
    "update": [("update.sgd", "moved_by_old_v"), ("update.sgd", "sign_magnitude")],
    "step": [("step.hindsight", "current_gradient_range"), ("step.banner", "one_copy_of_8_bits"), ("step.int4", "state_not_carried")],
}


@pytest.mark.parametrize("topic", PUBLISHED)
def test_the_published_mutants_exist(topic):
    for operation, mutant in PUBLISHED[topic]:
        assert mutant in {m.name for m in OPERATIONS[operation].mutants}, (operation, mutant)
