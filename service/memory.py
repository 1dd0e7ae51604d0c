"""How the C library keeps freed memory: as it comes, it keeps it for ever in pieces, and the process seems to grow.

glibc alone; musl, macOS and Windows have allocators of their own, which are left as they are.
"""

import ctypes
import gc
import os
import sys

# mallopt(3)
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGE = 2**20  # bytes; decoded photos and most weights are larger, a VGA picture is not
_SPARE = 2**24  # bytes at the heap's end that are kept for the next picture


def configure() -> None:
    """Let blocks from a megabyte on go back to the system when they are freed, and all threads share one heap.

    By itself glibc raises the first limit to 32 MB, and gives each thread a heap in which others cannot use what is
    free: after some reloads that comes to 150 MB and more. To be called before threads begin. Where the environment
    has MALLOC_ARENA_MAX, MALLOC_MMAP_THRESHOLD_ or MALLOC_TRIM_THRESHOLD_, that counts.
    """
    library = _library()
    for variable, option, value in (
        ("MALLOC_ARENA_MAX", _ARENA_MAX, 1),
        ("MALLOC_MMAP_THRESHOLD_", _MMAP_THRESHOLD, _LARGE),
        ("MALLOC_TRIM_THRESHOLD_", _TRIM_THRESHOLD, _SPARE),
    ):
        if library is not None and variable not in os.environ:
            library.mallopt(option, value)


def give_back() -> None:
    """Return what was freed to the system."""
    gc.collect()  # what failed requests leave behind are cycles, and may hold on to models
    library = _library()
    if library is not None:
        library.malloc_trim(0)


def _library() -> ctypes.CDLL | None:
    """glibc, or None."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") else None
