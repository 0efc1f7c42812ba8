"""Takes how many connections and threads a server has; makes room for their descriptors, as far as there is any."""

import sys

_in_use = "resource" in sys.modules
try:
    from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit, setrlimit
except ImportError:  # Windows, where sockets are no descriptors; or a module of the program's has this name
    LIMITED = False
else:
    LIMITED = True
    if not _in_use:  # many an application has a resource.py, and imports that by this name
        del sys.modules["resource"]

# Descriptors of a client at most: its socket, and the file of a large body, or the one that it is sent.
PER_CONNECTION = 2
# Descriptors that clients leave to the application and to the server itself: so many a thread, and so many beside.
PER_THREAD = 4
RESERVE = 64


def make_room(connections: int, threads: int) -> int:
    """Raise this process's limit of descriptors to what so many need; give how many connections have room then."""
    if not LIMITED:
        return connections
    now = getrlimit(RLIMIT_NOFILE)
    soft, hard = (sys.maxsize if limit == RLIM_INFINITY else limit for limit in now)
    limit, room = share_descriptors(connections, threads, soft, hard)
    if limit > soft:
        try:
            setrlimit(RLIMIT_NOFILE, (limit, now[1]))
        except (OSError, ValueError):  # macOS does not tell all of its limits
            _, room = share_descriptors(connections, threads, soft, soft)
    return room


def share_descriptors(connections: int, threads: int, soft: int, hard: int) -> tuple[int, int]:
    """Give the soft limit to set, where ``soft`` and ``hard`` are set, and how many connections have room then.

    It is raised as far as so many connections and calls of the application need, and never lowered. Where that is too
    little for all, the application has what it needs, or half.
    """
    reserve = PER_THREAD * threads + RESERVE
    limit = max(soft, min(PER_CONNECTION * connections + reserve, hard))
    return limit, min(connections, max(limit - reserve, limit // 2) // PER_CONNECTION)
