"""What a network is trained on: data sets from files read without trust, the order of an epoch, augmentation."""
from refquant.training.data.augment import crop_and_flip
from refquant.training.data.batches import AUGMENTATION, ORDER, batches, permutation, steps
from refquant.training.data.dataset import Dataset, load
from refquant.training.data.errors import DataError

__all__ = ["AUGMENTATION", "ORDER", "DataError", "Dataset", "batches", "crop_and_flip", "load", "permutation", "steps"]
