"""The order of an epoch: a permutation by keys of the scalar model, cut so that no sample is left alone."""
import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.scalar import randombits as scalar
from refquant.training.data import AUGMENTATION, ORDER, batches, permutation


def test_reserved_tensors_are_apart_and_out_of_the_layers_way():
    assert (ORDER, AUGMENTATION) == (0xFFFFFFFF, 0xFFFFFFFE)


@given(st.integers(1, 70), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_a_permutation_sorts_the_keys_of_the_scalar_model(n, seed, epoch):
    keys = [scalar.philox_bits(i, 64, seed, ORDER, epoch) for i in range(n)]
    got = permutation(n, seed, epoch)
    assert got.dtype == np.int64
    assert got.tolist() == sorted(range(n), key=lambda i: (keys[i], i))


def test_ties_go_by_number(monkeypatch):
    module = importlib.import_module("refquant.training.data.batches")  # its name in the package is a function's
    monkeypatch.setattr(module, "philox_bits", lambda n, count, *_: np.uint64([1, 0] * (count // 2)))
    assert permutation(40, 0, 0).tolist() == [*range(1, 40, 2), *range(0, 40, 2)]


def test_epochs_and_seeds_differ():
    orders = {tuple(permutation(50, seed, epoch)) for seed in (0, 1, 2**32, 2**63) for epoch in (0, 1, 2)}
    assert len(orders) == 12
    assert all(sorted(order) == list(range(50)) for order in orders)


@given(st.integers(1, 60), st.integers(1, 20))
def test_batches_are_the_permutation_cut(n, size):
    got = list(batches(n, size, 5, 6))
    assert np.concatenate(got).tolist() == permutation(n, 5, 6).tolist()
    assert all(len(batch) == size for batch in got[:-1])
    assert all(batch.dtype == np.int64 for batch in got)
    if size > 1 and n > 1:
        assert 2 <= len(got[-1]) <= size + 1
    assert len(got[-1]) <= size or n % size == 1


@pytest.mark.parametrize("n, size, lengths", [
    (9, 4, [4, 5]), (8, 4, [4, 4]), (10, 4, [4, 4, 2]), (11, 4, [4, 4, 3]), (5, 4, [5]), (3, 4, [3]), (4, 4, [4]),
    (1, 4, [1]), (3, 1, [1, 1, 1]), (1, 1, [1]), (3, 2, [3]), (4, 2, [2, 2])])
def test_the_last_batch(n, size, lengths):
    assert [len(batch) for batch in batches(n, size, 0, 0)] == lengths


@pytest.mark.parametrize("call, words", [
    (lambda: permutation(0, 0, 0), "n = 0 samples: expected 1 or more"),
    (lambda: permutation(4, 2**64, 0), "seed = 18446744073709551616"),
    (lambda: permutation(4, 0, -1), "step = -1"),
    (lambda: batches(4, 0, 0, 0), "size = 0 samples a batch"),
    (lambda: batches(0, 4, 0, 0), "n = 0"),
])
def test_what_is_out_of_range_is_refused_at_once(call, words):
    with pytest.raises(ValueError, match=words):
        call()
