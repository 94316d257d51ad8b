"""How a call is timed.

    shot     a call, repeated as often as it takes to last 2 ms; its seconds, divided by the repetitions
    round    one shot of every peer, each round beginning with another one
    median   of a peer's shots;  ratio: of two medians of one run

A slow minute of the machine so falls on all peers alike. Before the first round every peer is called: once for its
answer, which compiles what is to be compiled, once to fill caches, once to see how long a call takes.
"""
from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping

SHOT = 2e-3
WARM_UP = 2
MOST_ROUNDS, LEAST_ROUNDS = 60, 3
SECONDS = 8.0  # that the rounds of one case may take, unless told how many there are

Call = Callable[[], object]


def shot(call: Call, repetitions: int) -> float:
    """Seconds of one call, measured over so many."""
    start = time.perf_counter()
    for _ in itertools.repeat(None, repetitions):
        call()
    return (time.perf_counter() - start) / repetitions


def warmed(call: Call) -> tuple[int, float]:
    """``(repetitions of a shot, seconds of one call)``, found while warming up."""
    for _ in range(WARM_UP - 1):
        call()
    seconds = shot(call, 1)
    repetitions = 1
    while seconds * repetitions < SHOT:
        repetitions = max(2 * repetitions, min(math.ceil(SHOT / max(seconds, 1e-9)), 8 * repetitions))
        seconds = shot(call, repetitions)
    return repetitions, seconds


def interleaved(calls: Mapping[str, Call], rounds: int | None = None) -> dict[str, list[float]]:
    """The seconds of each call, a number a round.  rounds : None for as many as fit into `SECONDS`."""
    shots = {name: warmed(call) for name, call in calls.items()}
    if rounds is None:
        rounds = rounds_within(SECONDS, sum(repetitions * seconds for repetitions, seconds in shots.values()))
    names = list(calls)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names) if names else 0
        for name in names[first:] + names[:first]:
            taken[name].append(shot(calls[name], shots[name][0]))
    return taken


def rounds_within(seconds: float, a_round: float) -> int:
    """How many rounds of ``a_round`` seconds are made."""
    return max(LEAST_ROUNDS, min(MOST_ROUNDS, int(seconds / max(a_round, 1e-9))))


def median(seconds: Iterable[float]) -> float:
    """The middle one; of an even number, the mean of the two in the middle."""
    return statistics.median(seconds)


def geometric_mean(ratios: Iterable[float]) -> float:
    """The mean of ratios: as far from 1 when both sides change places."""
    return statistics.geometric_mean(ratios)
