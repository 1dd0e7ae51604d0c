"""How many processor cores this process may really use.

`os.cpu_count()` tells the host's cores. In a container with a quota of two cores on a host with 64 that
would start 64 threads that throttle each other, so the scheduler's affinity and the quotas of control
groups (v2 and v1) count.
"""

import math
import os
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_SELF = Path("/proc/self/cgroup")


def available_cores(root: Path = _ROOT, membership: Path = _SELF) -> int:
    """At least 1: the smaller of the affinity mask and the tightest control group quota, rounded up."""
    quota = cgroup_quota(root, membership)
    cores = _affinity()
    return max(1, min(cores, math.ceil(quota)) if quota is not None else cores)


def cgroup_quota(root: Path = _ROOT, membership: Path = _SELF) -> float | None:
    """Cores granted by the tightest CPU quota on the way from this process's group to the root; None
    without one.

    root: where the control group file systems are mounted; membership: this process's `/proc/self/cgroup`.
    Unreadable or malformed files count as no quota.
    """
    quotas = []
    for controllers, group in _groups(membership):
        if controllers == "":
            quotas += [_quota_v2(folder) for folder in _ancestors(root, group)]
        elif "cpu" in controllers.split(","):
            for mount in ("cpu", "cpu,cpuacct"):
                quotas += [_quota_v1(folder) for folder in _ancestors(root / mount, group)]
    return min((q for q in quotas if q is not None), default=None)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows have no affinity mask to ask


def _groups(membership: Path) -> list[tuple[str, str]]:
    """The lines `hierarchy:controllers:path` as (controllers, path); in v2 there is one, with no
    controllers.
    """
    groups = []
    for line in _read(membership).splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            groups.append((fields[1], fields[2]))
    return groups


def _ancestors(mount: Path, group: str) -> list[Path]:
    """The group's folder and all above it, up to the mount.

    Inside a container the path may name a group of the host that is not mounted there; the mount itself is
    then the container's group, and it is always in the list.
    """
    parts = [part for part in group.split("/") if part not in ("", "..")]
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _quota_v2(folder: Path) -> float | None:
    fields = _read(folder / "cpu.max").split()  # "200000 100000" or "max 100000"
    return _ratio(fields[0], fields[1]) if len(fields) == 2 else None


def _quota_v1(folder: Path) -> float | None:
    return _ratio(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))  # -1: none


def _ratio(quota: str, period: str) -> float | None:
    try:
        numerator, denominator = int(quota), int(period)
    except ValueError:
        return None
    return numerator / denominator if numerator > 0 and denominator > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
