"""The five methods as an accelerator computes them: integers only, every rounding named.

Each file states one unit's arithmetic and how it follows from the real-valued method of `refquant.quantizers`.
"""
