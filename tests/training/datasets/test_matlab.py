from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from tests.training.datasets.miniature import struct
from training.datasets.matlab import MatlabError, read_struct, scalar, text

RECORDS = struct([{"name": "one", "size": 1.0}, {"name": "two", "size": 2.0}], ("name", "size"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    savemat(tmp_path / "a.mat", {"number": 3.0, "things": RECORDS})
    return tmp_path / "a.mat"


def test_records_are_read_in_their_order(file):
    records = read_struct(file, "things", ("name", "size"))
    assert [text(record["name"], "name") for record in records] == ["one", "two"]
    assert [scalar(record["size"], "size") for record in records] == [1, 2]


def test_a_nested_struct_is_read_from_its_value(tmp_path):
    outer = struct([{"inner": RECORDS}], ("inner",))
    savemat(tmp_path / "b.mat", {"outer": outer})
    (record,) = read_struct(tmp_path / "b.mat", "outer", ("inner",))
    assert len(read_struct(record["inner"], "inner", ("name", "size"))) == 2


def test_what_is_missing_is_named(file, tmp_path):
    with pytest.raises(MatlabError, match="no variable stuff"):
        read_struct(file, "stuff", ())
    with pytest.raises(MatlabError, match="things has no field weight, colour"):
        read_struct(file, "things", ("name", "weight", "colour"))
    with pytest.raises(MatlabError, match="number is no struct array"):
        read_struct(file, "number", ())
    with pytest.raises(MatlabError, match="does not exist"):
        read_struct(tmp_path / "none.mat", "things", ())


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.6, 0.9])
def test_a_file_cut_short_is_refused(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(MatlabError, match=r"no MATLAB file, or it is cut short|no variable"):
        read_struct(file, "things", ("name", "size"))


@pytest.mark.parametrize(
    "head",
    [
        b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n",
        b" " * 512 + b"\x89HDF\r\n\x1a\n",
        b"\x89HDF\r\n\x1a\n",
    ],
)
def test_version_7_3_is_refused_with_a_way_out(tmp_path, head):
    (tmp_path / "new.mat").write_bytes(head + bytes(2000))
    with pytest.raises(MatlabError, match=r"version 7\.3 .* -v7"):
        read_struct(tmp_path / "new.mat", "things", ())


def test_values_of_another_kind_are_refused():
    with pytest.raises(MatlabError, match="name is no text"):
        text(np.array([[1.0]]), "name")
    with pytest.raises(MatlabError, match="size is no single number"):
        scalar(np.array([[1.0, 2.0]]), "size")
    with pytest.raises(MatlabError, match="size is no single number"):
        scalar(np.array(["1"]), "size")
