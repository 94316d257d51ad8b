"""Shots, rounds and means, on a clock that only moves when a call says so."""
import pytest

from refquant.bench import timing


class Clock:
    """A clock, and calls that each take a known time on it; ``called`` has their names in order."""

    def __init__(self):
        self.now, self.called = 0.0, []

    def call(self, name, *seconds):
        taken = iter(seconds)

        def call():
            self.called.append(name)
            self.now += seconds[0] if len(seconds) == 1 else next(taken)
        return call


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock.now)
    return clock


def test_a_shot_is_seconds_of_one_call(clock):
    assert timing.shot(clock.call("a", 0.25), 4) == 0.25
    assert clock.called == ["a"] * 4


@pytest.mark.parametrize("seconds, repetitions", [(0.5, 1), (2e-3, 1), (2.0**-10, 3), (2.0**-20, 2098)])
def test_a_shot_lasts_two_milliseconds(clock, seconds, repetitions):
    found, each = timing.warmed(clock.call("a", seconds))
    assert each == seconds and found * seconds >= timing.SHOT
    assert repetitions <= found <= 2 * repetitions


def test_the_first_calls_are_not_measured(clock):
    """They fill caches: here for 5 s."""
    repetitions, seconds = timing.warmed(clock.call("a", 5.0, 0.01))
    assert (repetitions, seconds) == (1, pytest.approx(0.01))
    assert len(clock.called) == timing.WARM_UP


def test_every_round_times_everyone_once_and_begins_with_another(clock):
    calls = {name: clock.call(name, seconds) for name, seconds in (("a", 0.5), ("b", 0.25), ("c", 0.125))}
    seconds = timing.interleaved(calls, 4)
    assert seconds == {"a": [0.5] * 4, "b": [0.25] * 4, "c": [0.125] * 4}
    assert clock.called[3 * timing.WARM_UP:] == [*"abc", *"bca", *"cab", *"abc"]


def test_nobody_takes_no_time(clock):
    assert timing.interleaved({}, 3) == {}


@pytest.mark.parametrize("a_round, rounds", [(1e-6, timing.MOST_ROUNDS), (0.5, 16), (1.0, 8), (60.0, timing.LEAST_ROUNDS)])
def test_as_many_rounds_as_fit(clock, a_round, rounds):
    assert timing.rounds_within(8.0, a_round) == rounds
    if a_round == 0.5:
        assert len(timing.interleaved({"a": clock.call("a", 0.25), "b": clock.call("b", 0.25)})["a"]) == rounds


@pytest.mark.parametrize("seconds, median", [([3.0], 3.0), ([9.0, 1.0, 2.0], 2.0), ([4.0, 1.0, 100.0, 2.0], 3.0)])
def test_median(seconds, median):
    assert timing.median(seconds) == median


def test_geometric_mean_of_a_ratio_and_its_inverse_is_one():
    assert timing.geometric_mean([4.0, 0.25]) == pytest.approx(1.0)
    assert timing.geometric_mean([1.0, 2.0, 4.0]) == pytest.approx(2.0)
