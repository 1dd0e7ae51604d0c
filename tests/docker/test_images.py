"""The Dockerfiles: pinned, non-root, and made of files that exist."""

import fnmatch
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from service.settings import PREFIX, Settings

FILES = ("service.Dockerfile", "training.Dockerfile")
BASE = "python:3.11-slim-bookworm"


@pytest.fixture(params=FILES)
def dockerfile(request: pytest.FixtureRequest, root: Path) -> str:
    """The text of a Dockerfile, with continued lines joined."""
    return re.sub(r"\\\n\s*", "", (root / "docker" / request.param).read_text())


def pins(path: Path) -> dict[str, Version]:
    found = re.findall(r"^([\w.-]+)==([^\s;]+)(?: ;.*)? \\$", path.read_text(), re.MULTILINE)
    return {name.lower(): Version(version) for name, version in found}


def test_bases_are_an_argument_with_a_pinned_default(dockerfile: str) -> None:
    assert re.findall(r"^ARG BASE=(\S+)", dockerfile, re.MULTILINE) == [BASE]
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"${BASE}"}


def test_what_runs_is_nobody_special_and_gets_the_signals(dockerfile: str) -> None:
    last = dockerfile[dockerfile.rindex("FROM ") :]
    assert "USER 10001:10001" in last
    assert re.search(r'^ENTRYPOINT \["', last, re.MULTILINE), "the shell form keeps signals to itself"


def test_nothing_comes_in_without_its_hash(dockerfile: str) -> None:
    installs = re.findall(r"pip [^&]*\binstall ([^&]*)", dockerfile)
    assert installs
    for options in installs:
        from_registry = "--require-hashes" in options and "--only-binary :all:" in options
        our_own = "--no-deps" in options and options.strip().endswith("wheels/*.whl")
        assert from_registry or our_own, options
    assert "apt-get" not in dockerfile


def test_what_is_copied_exists_and_is_let_into_the_build(dockerfile: str, root: Path) -> None:
    let_in = [line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(.*)", dockerfile, re.MULTILINE):
        for source in line.split()[:-1]:
            path = root / source
            assert path.exists(), source
            files = (
                [path]
                if path.is_file()
                else [one for one in path.iterdir() if one.suffix in (".txt", ".py", ".js")]
            )
            names = [str(one.relative_to(root)) for one in files]
            assert any(fnmatch.fnmatch(name, f"{rule}*") for name in names for rule in let_in), source


def test_pinned_versions_are_what_the_package_asks_for(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name != "dev"}
    images = {"service.txt": []} | {
        "training.txt" if name == "training" else f"service-{name}.txt": lines
        for name, lines in extras.items()
    }
    hint = "run `sh docker/requirements/compile.sh`"
    for name, lines in images.items():
        path = root / "docker" / "requirements" / name
        assert path.is_file(), f"{name} is missing: {hint}"
        pinned = pins(path)
        for requirement in map(Requirement, project["dependencies"] + lines):
            version = pinned.get(requirement.name.lower())
            assert version is not None, f"{name} lacks {requirement.name}: {hint}"
            assert requirement.specifier.contains(version), f"{name}: {requirement.name} {version}: {hint}"


def test_the_service_needs_no_torch(root: Path) -> None:
    assert not pins(root / "docker" / "requirements" / "service.txt").keys() & {"torch", "torchvision"}


def test_the_service_image_knows_the_service(root: Path) -> None:
    text = (root / "docker" / "service.Dockerfile").read_text()
    fields = Settings.model_fields
    assert f"EXPOSE {fields['port'].default}" in text
    for name in set(re.findall(rf"{PREFIX}(\w+)=", text)):
        assert name.lower() in fields, name
    assert "COPY training" not in text
    health = re.search(r'^HEALTHCHECK .*CMD \["python", "/opt/(\w+\.py)"\]$', text, re.MULTILINE)
    assert health
    assert (root / "docker" / health[1]).is_file()
