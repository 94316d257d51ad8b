"""Training: layers, models, methods, data, and the loop that trains one by another."""
from refquant.training.compare import train
from refquant.training.loop import Settings, Trainer, Training, digest
from refquant.training.methods import recipe
from refquant.training.quantizing import Quantizers, Recipe

__all__ = ["Quantizers", "Recipe", "Settings", "Trainer", "Training", "digest", "recipe", "train"]
