"""torch's quantized linear layers, by each engine that torch has: for which_rounding.py.

    onednn             onednn.qlinear_pointwise, codes in and out of either sign
    fbgemm, qnnpack    quantized.linear, uint8 codes; int8 ones are those 128 above, on their way in and out

They take gemm.forward, whatever flavour a case names; weights are int8 of zero point 0. oneDNN and fbgemm add the
products of two neighbours in int16 on x86 processors without VNNI, which saturates: where two products could be that
large, a case is declined.
"""
import warnings
from functools import partial

import engine_cases
import numpy as np
import torch
from integer_product import operands, signed, unsigned

from refquant.golden import Unsupported

warnings.filterwarnings("ignore", "torch.quantize_per_tensor, torch.quantize_per_channel and other", UserWarning)


def onednn(case):
    """oneDNN's codes for a case."""
    (a, za), (b, _), scale = given(case)
    weights = torch.ops.onednn.qlinear_prepack(torch.tensor(b.T.copy()), a.shape)
    y = torch.ops.onednn.qlinear_pointwise(
        torch.tensor(a), 1.0, za, weights, torch.tensor(scale), torch.zeros(scale.size, dtype=torch.int32), None, 1.0,
        case.attrs["zero_point"], getattr(torch, case.outputs["y"][1]), "none", [], "")
    return {"y": y.numpy()}


def quantized_linear(engine, case):
    """The codes that fbgemm or qnnpack makes of a case."""
    (a, za), (b, _), scale = given(case)
    above = 128 if case.outputs["y"][1] == "int8" else 0
    a, za = unsigned(a, za)
    torch.backends.quantized.engine = engine
    x = torch._make_per_tensor_quantized_tensor(torch.tensor(a), 1.0, za)
    w = torch._make_per_channel_quantized_tensor(torch.tensor(b.T.copy()), torch.tensor(scale.astype(np.float64)),
                                                 torch.zeros(scale.size, dtype=torch.int64), 0)
    weights = torch.ops.quantized.linear_prepack(w, None)
    y = torch.ops.quantized.linear(x, weights, 1.0, case.attrs["zero_point"] + above).int_repr().numpy()
    return {"y": signed(y, 0)[0] if above else y}


def given(case):
    """(a, its zero point), (b, 0), scale [N]; the scale is that of the weights, those of a and of the output are 1."""
    a, b = operands(case, {"gemm.forward": ("a", "b")})
    engine_cases.check(case)
    b = signed(*b)
    if b[1] != 0 or "bias" in case.inputs:
        raise Unsupported("weights with a zero point, or a bias, which is a float here")
    if 2 * int(unsigned(*a)[0].max()) * int(np.abs(b[0].astype(int)).max()) > 32767:
        raise Unsupported("two products beyond 16 bits, which saturate on some processors")
    return a, b, np.broadcast_to(engine_cases.float32_scale(case), b[0].shape[1]).copy()


fbgemm, qnnpack = partial(quantized_linear, "fbgemm"), partial(quantized_linear, "qnnpack")
