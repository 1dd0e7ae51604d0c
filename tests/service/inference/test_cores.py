import os
from pathlib import Path

import pytest

from service.inference import cores


@pytest.fixture
def sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


def machine(folder: Path, membership: str, **files: str) -> tuple[Path, Path]:
    root = folder / "cgroup"
    root.mkdir()
    (folder / "self").write_text(membership)
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("--", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root, folder / "self"


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("50000 100000\n", 1),
        ("max 100000\n", 16),
        ("junk", 16),
    ],
)
@pytest.mark.usefixtures("sixteen")
def test_version_2(tmp_path: Path, quota: str, expected: int) -> None:
    assert cores.available_cores(*machine(tmp_path, "0::/\n", **{"cpu--max": quota})) == expected


@pytest.mark.usefixtures("sixteen")
def test_the_tightest_group_above_counts(tmp_path: Path) -> None:
    files = {"a__cpu--max": "300000 100000", "a__b__cpu--max": "800000 100000"}
    assert cores.available_cores(*machine(tmp_path, "0::/a/b\n", **files)) == 3


@pytest.mark.usefixtures("sixteen")
def test_a_group_named_after_the_host_falls_back_to_the_mount(tmp_path: Path) -> None:
    paths = machine(tmp_path, "0::/kubepods/pod1/../x\n", **{"cpu--max": "400000 100000"})
    assert cores.available_cores(*paths) == 4


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
@pytest.mark.usefixtures("sixteen")
def test_version_1(tmp_path: Path, mount: str) -> None:
    files = {f"{mount}__box__cpu--cfs_quota_us": "250000", f"{mount}__box__cpu--cfs_period_us": "100000"}
    paths = machine(tmp_path, "5:memory:/box\n4:cpu,cpuacct:/box\n", **files)
    assert cores.cgroup_quota(*paths) == 2.5
    assert cores.available_cores(*paths) == 3


@pytest.mark.usefixtures("sixteen")
def test_version_1_without_a_quota(tmp_path: Path) -> None:
    files = {"cpu__cpu--cfs_quota_us": "-1", "cpu__cpu--cfs_period_us": "100000"}
    assert cores.available_cores(*machine(tmp_path, "4:cpu:/\n", **files)) == 16


def test_affinity_below_the_quota_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert cores.available_cores(*machine(tmp_path, "0::/\n", **{"cpu--max": "400000 100000"})) == 1


@pytest.mark.usefixtures("sixteen")
def test_a_system_without_control_groups(tmp_path: Path) -> None:
    assert cores.available_cores(tmp_path / "none", tmp_path / "nothing") == 16


def test_a_system_without_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores.available_cores(tmp_path / "none", tmp_path / "nothing") == 6


def test_here_it_is_at_least_one() -> None:
    assert cores.available_cores() >= 1
