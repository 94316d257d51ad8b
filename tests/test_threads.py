"""Work in parts: each index once, whatever the number of threads; errors arrive; a fork has threads of its own."""
import os
import threading

import numba
import pytest

from refquant.threads import SMALL, in_parts, threads_for


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 100])
@pytest.mark.parametrize("threads", [0, 1, 2, 3, 8])
def test_every_index_once(count, threads):
    parts = []
    in_parts(lambda first, last: parts.append((first, last)), count, threads)
    assert sorted(i for first, last in parts for i in range(first, last)) == list(range(count))
    assert len(parts) == max(1, min(threads, count))
    sizes = [last - first for first, last in parts]
    assert max(sizes) - min(sizes) <= 1


def test_parts_run_side_by_side():
    """Each waits for the other: one after the other, they would wait for ever."""
    barrier = threading.Barrier(2, timeout=20)
    in_parts(lambda first, last: barrier.wait(), 2, 2)


@pytest.mark.parametrize("bad", [0, 1])
def test_an_error_of_any_part_arrives_when_all_have_ended(bad):
    ended = []

    def work(first, last):
        if first == bad:
            raise ValueError(f"part {first}")
        ended.append(first)
    with pytest.raises(ValueError, match=f"part {bad}"):
        in_parts(work, 2, 2)
    assert ended == [1 - bad]


def test_small_work_wakes_nobody():
    before = numba.get_num_threads()
    try:
        for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
            numba.set_num_threads(threads)
            assert (threads_for(SMALL - 1), threads_for(SMALL)) == (1, threads)
    finally:
        numba.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_has_threads_of_its_own():
    in_parts(lambda first, last: None, 2, 2)
    child = os.fork()
    if child == 0:
        done = []
        in_parts(lambda first, last: done.append(first), 2, 2)
        os._exit(0 if sorted(done) == [0, 1] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
