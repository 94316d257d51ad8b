"""Integer matrix products, exact in any accumulator; convolution and its gradients as such products.

The modules:

    product, reference          the matrix product: its entry point, its definition
    choice, kernels             the bound that proves a compiled kernel exact; the kernels
    blocked, packing, tile      the fast product: blocks, words, registers;  few_rows: of one or two rows
    convolution, gather         convolution: its entry points, its definition;  geometry: where kernel and image meet
    fast, windowed, direct      its fast ways: by strips of windows, or by shifted images of few channels
    windows, shifted, images, taps      what they are made of
    fixed                       products of Fixed tensors
"""
from refquant.gemm.convolution import conv, conv_bias_gradient, conv_input_gradient, conv_weight_gradient
from refquant.gemm.fixed import conv_fixed, conv_input_gradient_fixed, conv_weight_gradient_fixed, matmul_fixed
from refquant.gemm.geometry import Geometry
from refquant.gemm.product import accumulator_bits, matmul, path
from refquant.gemm.reference import reference_matmul

__all__ = ["Geometry", "accumulator_bits", "conv", "conv_bias_gradient", "conv_fixed", "conv_input_gradient",
           "conv_input_gradient_fixed", "conv_weight_gradient", "conv_weight_gradient_fixed", "matmul", "matmul_fixed",
           "path", "reference_matmul"]
