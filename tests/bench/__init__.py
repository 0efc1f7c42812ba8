"""The benchmark: the server beside its peers, with the doubts about each figure told beside it.

``python -m tests.bench --help`` tells how to run it. What happens to a measurement on its way::

    scenarios, servers   what is asked for, and how each server is started
    process              one server process tree, pinned to its core
    wrk                  the load, pinned to the other core
    procfs               the CPU time, the memory, and what else ran on the machine
    measure, slices      one round of one scenario: server after server, or all of them slice by slice -> Run
    rounds               all rounds of all scenarios
    results              what was measured; JSON
    compare              figures against figures, round by round, and how well the median is known
    doubts, goals        what is not to be trusted, and what is reached
    table, report        for people: in the terminal, and docs/explanation/performance.md

Beside it, one request is taken apart: ``anatomy`` has py-spy and strace look at a server, and makes of what ``stacks``
and ``syscalls`` read from them the second JSON file of the page.
"""
