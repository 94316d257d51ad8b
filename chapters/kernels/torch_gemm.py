"""torch._int_mm, int8 by int8 to int32: ``refquant vectors verify SUITE --dut python:torch_gemm:dut``.

It takes the products of gemm.forward, gemm.dx and gemm.dw whose answers are the accumulators. The environment variable
TORCH_DEVICE names where it runs: cpu, or cuda, for which its condition is more than 16 rows and terms and columns in
eights. So zeros fill the operands up, on both. It has no zero points: with ca, cb the codes and K their terms,

    (ca - za) @ (cb - zb) = ca @ cb - za * (sum of each column of cb) - zb * (sum of each row of ca) + K * za * zb
"""
import os

import integer_product
import torch
from torch.nn.functional import pad

DEVICE = os.environ.get("TORCH_DEVICE", "cpu")


def dut(case):
    """The accumulators of a case."""
    left, right = integer_product.operands(case)
    integer_product.only(case, "none")
    (a, za), (b, zb) = integer_product.signed(*left), integer_product.signed(*right)
    a, b = torch.tensor(a, device=DEVICE), torch.tensor(b, device=DEVICE)
    rest = a.shape[1] * za * zb - za * b.sum(0, dtype=torch.int64) - zb * a.sum(1, keepdim=True, dtype=torch.int64)
    acc = product(a, b).long() + rest
    if "bias" in case.inputs:
        acc = acc + torch.tensor(case.inputs["bias"], device=DEVICE)
    return {"y": acc.int().cpu().numpy()}  # int() drops the upper bits: int32 that wraps


def product(a, b):
    """int32 [M, N] of int8 [M, K] and [K, N]."""
    (m, k), n = a.shape, b.shape[1]
    padded = torch._int_mm(pad(a, (0, -k % 8, 0, max(17 - m, 0))), pad(b, (0, -n % 8, 0, -k % 8)))
    return padded[:m, :n]
