"""Whole training steps in integers, by each of the five methods.

`chapters/hardware/training_steps.md` states them tensor by tensor; here a step is `run.step`, and a method is a file.
"""
