"""Real numbers whose bits do not depend on the machine: sums, products, and exp, log, tanh from + - * / and sqrt."""
from refquant.reals.elementary import exp, log, log_softmax, tanh
from refquant.reals.products import matmul
from refquant.reals.sums import count, mean, sample_variance, total, unbroadcast

__all__ = ["count", "exp", "log", "log_softmax", "matmul", "mean", "sample_variance", "tanh", "total", "unbroadcast"]
