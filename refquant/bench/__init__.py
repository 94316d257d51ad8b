"""How fast the golden model is, beside whatever other software is installed: `refquant bench TOPIC`.

    timing      shots, rounds, medians, ratios             measure, child   what one process does
    rows        a case, a peer's times, a figure           processes        environment, processes in turns
    machine     what it ran on                             peak             clock and multiply-add limit, measured
    report      the table, and the JSON document

A topic is a file of its cases and of the figures drawn from them (gemm, elementwise, conv, step, suite, start); beside
it stands what is run: gemm_peers and the like. Nothing here is used by the library itself.

Threads are fixed in the environment of the processes that measure, before anything is imported. With one thread all
peers share a process and are timed in turns, round by round. With more, every library has processes of its own, one at
a time: a pool of threads that spins while it waits would take the cores from whoever comes next. All of them keep the
memory that arrays give back (`refquant.memory`).
"""

TOPICS = ("gemm", "elementwise", "conv", "step", "suite", "start")
