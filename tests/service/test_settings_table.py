from pathlib import Path

import pytest

from service import settings_table
from service.settings import PREFIX, Settings


def test_operations_has_the_table_as_the_settings_are(root: Path) -> None:
    document = (root / "docs" / "operations.md").read_text(encoding="utf-8")
    assert settings_table.put_into(document) == document, (
        "run: python -m service.settings_table docs/operations.md"
    )


def test_every_setting_has_a_row_with_its_default_and_bounds() -> None:
    rows = {row.split("|")[1].strip(): row for row in settings_table.table().splitlines()[2:]}
    assert list(rows) == [f"`{PREFIX}{name.upper()}`" for name in Settings.model_fields]
    assert "| 33554432 (32 MiB) | from 1024 to 1073741824 |" in rows["`HANDPOSE_MAX_BYTES`"]
    assert "| none | a path |" in rows["`HANDPOSE_KEYS_FILE`"]
    assert "| false | true, false |" in rows["`HANDPOSE_ACCESS_LOG`"]
    assert "| auto | auto, onnx, torch |" in rows["`HANDPOSE_ENGINE`"]
    assert "| 60.0 | above 0 to 3600 |" in rows["`HANDPOSE_RECEIVE_SECONDS`"].replace("| 60 |", "| 60.0 |")


def test_a_document_without_a_place_for_it() -> None:
    with pytest.raises(ValueError, match="markers"):
        settings_table.put_into("# Operations\n")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"before\n{settings_table.BEGIN}\nthe last one\n{settings_table.END}\nafter\n")
    assert settings_table.main([str(path)]) == 0
    text = path.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert settings_table.table() in text
    assert "the last one" not in text
    assert settings_table.main([]) == 0
    assert settings_table.table() in capsys.readouterr().out
