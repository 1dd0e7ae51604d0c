from pathlib import Path

import pytest

from training.paths import DATA_VARIABLE, data_root, data_root_if_any


def test_a_preview_needs_no_data_but_the_data_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    assert data_root_if_any() is None
    with pytest.raises(FileNotFoundError, match="looked for data, "):
        data_root()
    with pytest.raises(FileNotFoundError, match="looked for mine"):
        data_root_if_any(Path("mine"))
    Path("data").mkdir()
    assert data_root_if_any() == data_root() == Path("data")
    monkeypatch.setenv(DATA_VARIABLE, "")
    assert data_root_if_any() == data_root() == Path("data")
    monkeypatch.setenv(DATA_VARIABLE, "elsewhere")
    with pytest.raises(FileNotFoundError, match="looked for elsewhere"):
        data_root_if_any()
