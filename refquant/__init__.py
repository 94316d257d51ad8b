"""Reference arithmetic for quantized neural-network training: exact integers, golden vectors.

    refquant.integers   formats, rounding, random bits, Fixed tensors, accumulators, requantization, packing
    refquant.gemm       integer matrix products; convolution and its gradients as products
    refquant.scalar     the same arithmetic again, independently, one element at a time in Python integers
    refquant.golden     golden vectors: create, verify, explain, audit
"""

__version__ = "0.1.0"
