"""Reverse-mode differentiation where values are arrays or integer tensors, and products of integers stay integers."""
from refquant.autodiff.arithmetic import (
    add,
    dequantize,
    divide,
    flatten,
    multiply,
    per_channel,
    pixel_shuffle,
    prelu,
    quantize_gradient,
    relu,
    relu6,
    reshape,
    subtract,
    sum_all,
)
from refquant.autodiff.check import gradient_errors
from refquant.autodiff.engine import OPS, Op, Tensor, gradients
from refquant.autodiff.loss import mean_squared_error, one_hot, softmax, softmax_cross_entropy
from refquant.autodiff.normalization import batch_norm, range_batch_norm
from refquant.autodiff.pooling import average_pool, global_average_pool, max_pool
from refquant.autodiff.products import Call, conv, linear, matmul, moved_scale, recorded
from refquant.autodiff.values import FixedSum

__all__ = ["OPS", "Call", "FixedSum", "Op", "Tensor", "add", "average_pool", "batch_norm", "conv", "dequantize",
           "divide", "flatten", "global_average_pool", "gradient_errors", "gradients", "linear", "matmul", "max_pool",
           "mean_squared_error", "moved_scale", "multiply", "one_hot", "per_channel", "pixel_shuffle", "prelu",
           "quantize_gradient", "range_batch_norm", "recorded", "relu", "relu6", "reshape", "softmax",
           "softmax_cross_entropy", "subtract", "sum_all"]
