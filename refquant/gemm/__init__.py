"""Integer matrix products, exact in any accumulator; convolution and its gradients as such products."""
from refquant.gemm.convolution import conv, conv_bias_gradient, conv_input_gradient, conv_weight_gradient
from refquant.gemm.fixed import conv_fixed, conv_input_gradient_fixed, conv_weight_gradient_fixed, matmul_fixed
from refquant.gemm.geometry import Geometry
from refquant.gemm.product import accumulator_bits, matmul, path
from refquant.gemm.reference import reference_matmul

__all__ = ["Geometry", "accumulator_bits", "conv", "conv_bias_gradient", "conv_fixed", "conv_input_gradient",
           "conv_input_gradient_fixed", "conv_weight_gradient", "conv_weight_gradient_fixed", "matmul", "matmul_fixed",
           "path", "reference_matmul"]
