"""The scalar model: every integer operation of refquant, for one element, on Python ints and Fractions.

The second of two independent implementations of the arithmetic. It shares no code with the vectorized one and
imports nothing outside the standard library; a golden vector counts only where both agree bit for bit.
Every function that computes takes `note`, a callable that is told each step in words (see `steps`).
Matrices and tensors are nested lists, rows and tensors in one run are flat lists, numbers are ints and Fractions.
"""
