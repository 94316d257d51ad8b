"""Whole training steps of a small network in integers, one method each: banner, sat, n2uq, hindsight, int4.

Two steps make a case, the second from the state that the first leaves. A step, for its images x [B,1,8,8] (u8, scale
2^-8) and their labels, is in `network`; what the methods have in common is in `products` (the layers), `loss`,
`copies` (few-bit copies of a tensor) and `descent` (the update of weights and learned numbers).
"""
from .case import element

__all__ = ["element"]
