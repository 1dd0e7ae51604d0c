"""Unpacks a zip file into a folder: all of it or nothing, and never outside of that folder."""

import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from training.download import require_space

CHUNK = 1 << 18
_ENCRYPTED = 0x1
_LEFT_OUT = "__MACOSX"  # what macOS adds to archives; never data

# Told the bytes written so far and the bytes there will be.
Progress = Callable[[int, int], None]


class UnpackError(ValueError):
    """An archive that cannot be unpacked; the message names it and the member."""


def unpack(
    archive: Path,
    folder: Path,
    holds: Sequence[str] = (),
    progress: Progress = lambda done, total: None,
) -> int:
    """Unpack `archive` so that `folder` appears with everything in it. Returns how many files it has.

    holds: paths that must exist in it afterwards. If the archive has everything in one folder more, that folder is left
    out. Raises UnpackError if the archive is damaged (every member's checksum is verified), encrypted, lacks one of
    `holds`, or has a member that is absolute, climbs out with `..` or is a link; DownloadError if the disk is too
    small. Nothing is left of `folder` then; an interrupted run's rest, `<folder>.unpacking`, is removed by the next.
    Raises FileExistsError if `folder` exists.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists already")
    stage = folder.with_name(folder.name + ".unpacking")
    shutil.rmtree(stage, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as content:
            members = {
                path: member for member in content.infolist() if (path := _path(member, archive)) is not None
            }
            total = sum(member.file_size for member in members.values())
            require_space(folder.parent, total, f"unpacking {archive.name}")
            done = 0
            for path, member in members.items():
                target = stage.joinpath(*path.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with content.open(member) as source, target.open("xb") as sink:
                    while chunk := source.read(CHUNK):
                        sink.write(chunk)
                        done += len(chunk)
                        progress(done, total)
        root = _root(stage, holds, archive)
        root.rename(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UnpackError(f"{archive} is damaged or no zip file: {error}") from None
    except OSError as error:
        raise UnpackError(f"cannot unpack {archive}: {error}") from None
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return len(members)


def _path(member: zipfile.ZipInfo, archive: Path) -> PurePosixPath | None:
    """Where a member belongs; None for folders and what is left out. Raises UnpackError for a name that is not safe."""
    name = member.filename
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
        raise UnpackError(f"{archive}: member {name!r} would be written outside of its folder")
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UnpackError(f"{archive}: member {name!r} is a link or device, not a file")
    if member.flag_bits & _ENCRYPTED:
        raise UnpackError(f"{archive}: member {name!r} is encrypted")
    if member.is_dir() or not path.parts or path.parts[0] == _LEFT_OUT:
        return None
    return path


def _root(stage: Path, holds: Sequence[str], archive: Path) -> Path:
    """The folder in the stage that has everything in it which must be there: the stage, or its only folder."""
    inside = list(stage.iterdir()) if stage.exists() else []
    candidates = [stage, *(inside if len(inside) == 1 and inside[0].is_dir() else [])]
    for candidate in candidates:
        if candidate.exists() and all((candidate / name).exists() for name in holds):
            return candidate
    missing = [name for name in holds if not (stage / name).exists()]
    raise UnpackError(f"{archive} does not hold {', '.join(missing) or 'any file'}")
