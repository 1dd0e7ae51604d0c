"""How many files, connections among them, the system lets this process have open.

Many systems give a program 1024, and a hundred times as many if it asks. All connections that the settings allow would
use up those, and then neither keys nor models could be read anew.
"""

import sys

_OTHERS = 200  # up to 100 connections that are turned away, and what the service opens itself


def allow(connections: int) -> int | None:
    """Ask for as many as so many connections need. Returns how many there may be where that is too few, else None."""
    if sys.platform == "win32":
        return None
    import resource

    wanted = connections + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return None
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (ValueError, OSError):  # macOS has a further limit behind this one
        return soft
    return most if most < wanted else None
