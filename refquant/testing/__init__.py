"""For projects that test a kernel with pytest and hypothesis: golden vectors as one assertion, and strategies.

    assert_golden(function, "gemm", operation="gemm.forward")     the golden cases of a group, answered by `function`
    formats  codes  operands  fixed  accumulators  requantizations  ties  shapes                  what to draw

Install with ``pip install 'refquant[testing]'``.
"""
try:
    import hypothesis as _hypothesis  # noqa: F401
except ImportError as error:
    raise ImportError("refquant.testing needs hypothesis: pip install 'refquant[testing]'") from error

from refquant.testing.assertion import assert_golden
from refquant.testing.parameters import Requantization, accumulators, requantizations, ties
from refquant.testing.tensors import SETS, codes, fixed, formats, operands, shapes

__all__ = ["SETS", "Requantization", "accumulators", "assert_golden", "codes", "fixed", "formats", "operands",
           "requantizations", "shapes", "ties"]
