"""What this machine's CPU has instructions for."""

import functools
import re
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_VNNI = ("avx512_vnni", "avx_vnni")  # as Linux names them


@functools.cache
def int8_instructions(cpu_info: Path = _CPU_INFO) -> str:
    """The instructions of an x86 CPU that multiply and add 8-bit integers, "" where Linux names none.

    It takes those instructions for 8-bit integers to be much faster than float32. Other systems than Linux do not say
    it in a file, and for other processors nobody has measured it: there it is "" too.
    """
    try:
        text = cpu_info.read_text()
    except OSError:
        return ""
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    there = flags.group(1).split() if flags else []
    return next((name for name in _VNNI if name in there), "")
