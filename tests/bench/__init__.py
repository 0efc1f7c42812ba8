"""The benchmark: the server beside its peers, with the doubts about each figure told beside it.

``python -m tests.bench --help`` tells how to run it. What happens to a measurement on its way::

    scenarios, servers   what is asked for, and how each server is started
    process              one server process tree, pinned to its core
    wrk                  the load, pinned to the other core
    procfs               the CPU time, the memory, and what else ran on the machine
    measure              one round of one scenario with one server -> Run
    results              the rounds of a run -> medians, spread, doubts; JSON
    table, report        for people: in the terminal, and docs/explanation/performance.md
"""
