"""Whole training steps in integers, by each of the five methods."""
