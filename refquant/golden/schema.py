"""JSON Schemas: of attributes, of a case, of a suite's manifest."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastjsonschema

from refquant.golden.errors import CorruptError
from refquant.integers.accumulator import OVERFLOWS as ACCUMULATOR_OVERFLOWS
from refquant.integers.rounding import MODES

Schema = dict[str, Any]

FORMAT: Schema = {"type": "string", "pattern": "^([su]([2-9]|[1-5][0-9]|6[0-4])|s([2-9]|[1-5][0-9]|6[0-4])n)$"}
FLOAT: Schema = {"enum": ["f32", "f64"]}
ROUNDING: Schema = {"enum": list(MODES)}
ACCUMULATOR_BITS: Schema = {"type": "integer", "minimum": 8, "maximum": 64}
ACCUMULATOR_OVERFLOW: Schema = {"enum": list(ACCUMULATOR_OVERFLOWS[:3])}
INT32: Schema = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
BOOLEAN: Schema = {"type": "boolean"}
HASH: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
CASE_ID: Schema = {"type": "string", "pattern": "^[a-z0-9_.-]{1,120}$"}
OPERATION: Schema = {"type": "string", "pattern": "^[a-z0-9_]+\\.[a-z0-9_]+$"}
TENSOR: Schema = {"type": "string", "pattern": "^(in|rbits|state0|mid|out|flags|state1)_[a-z0-9_]+$"}

DRAFT = "http://json-schema.org/draft-07/schema#"


def integer(low: int, high: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [{"type": "null"}, schema]}


def record(properties: Schema) -> Schema:
    """An object with exactly these properties."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


TENSOR_RECORD = record({
    "name": TENSOR, "role": {"enum": ["in", "rbits", "state0", "mid", "out", "flags", "state1"]},
    "file": {"type": "string", "pattern": "^(in|rbits|state0|mid|out|flags|state1)_[a-z0-9_]+\\.npy$"},
    "bits": integer(1, 64), "signed": BOOLEAN, "narrow": BOOLEAN, "container": {"type": "string"},
    "shape": {"type": "array", "items": integer(0, 2**40)},
    "scale": nullable({"type": "array", "items": {"type": "string"}}), "zero_point": nullable(INT32),
    "packing": nullable({"enum": ["int2", "int4"]}), "sha256": HASH,
})


STATE = record({"before": {"type": "array", "items": TENSOR}, "after": {"type": "array", "items": TENSOR}})


def case_schema(operations) -> Schema:
    """The schema of case.json: the same frame for all, and each operation's own attributes."""
    own = [{"if": {"properties": {"op": {"const": op.name}}},
            "then": {"properties": {"attrs": record(op.attributes)}}} for op in operations]
    return {"$schema": DRAFT, "$id": "case-1.schema.json", "title": "One golden vector",
            **case_frame([op.name for op in operations]), "allOf": own}


def case_frame(names: list[str]) -> Schema:
    """The schema of what case.json has whatever its operation, which is one of these."""
    return record({
        "schema": {"const": "case-1"}, "id": CASE_ID, "group": {"type": "string"},
        "op": {"enum": names}, "summary": {"type": "string"},
        "semantics": {"type": "array", "items": {"type": "string"}}, "attrs": {"type": "object"},
        "tensors": {"type": "array", "items": TENSOR_RECORD, "minItems": 2}, "state": nullable(STATE),
        "random": nullable({"type": "object", "properties": {
            "generator": {"enum": ["philox4x32-10", "lfsr"]}, "n": integer(1, 64), "element_map": {"type": "string"}},
            "required": ["generator", "n", "element_map"]}),
        "stimulus": record({"set": {"type": "string"}, "level": integer(1, 3), "seed": {"type": "integer"}}),
        "flags": {"type": "object", "additionalProperties": {"type": "integer"}},
        "kills": {"type": "array", "items": {"type": "string"}},
        "result": {"enum": ["valid", "acceptable"]}, "expected_failure": nullable({"type": "string"}),
        "supersedes": nullable(CASE_ID),
    })


def suite_schema() -> Schema:
    """The schema of MANIFEST.json."""
    return {"$schema": DRAFT, "$id": "suite-1.schema.json", "title": "A suite of golden vectors", **record({
        "schema": {"const": "suite-1"}, "suite": {"const": "refquant"}, "version": {"type": "string"},
        "level": integer(1, 3), "seed": integer(0, 2**64 - 1),
        "groups": {"type": "array", "items": {"type": "string"}},
        "exports": {"type": "array", "items": {"type": "string"}},
        "cases": {"type": "array", "items": record({"id": {"type": "string"}, "op": OPERATION, "sha256": HASH})},
    })}


def validator(kind: str, schema: Schema) -> Callable[[Any, str], None]:
    """A function of a value and its file's name: a CorruptError unless it is a valid ``kind``."""
    check = fastjsonschema.compile(schema)

    def validate(value: Any, name: str) -> None:
        try:
            check(value)
        except fastjsonschema.JsonSchemaValueException as error:
            raise CorruptError(f"{name}: {error.message.replace('data', kind, 1)}") from None
    return validate
