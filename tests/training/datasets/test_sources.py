from pathlib import Path

import pytest

from service.models.checkpoint import DataSource
from training.datasets.sources import EGOHANDS, FREIHAND, SOURCES, locate


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_card_takes_the_record(source):
    record = DataSource.model_validate(source.card(images=100, remarks="green-screen part"))
    assert record.licence == source.licence
    assert record.images == 100
    assert source.name in record.name
    assert record.remarks.endswith("green-screen part")
    assert source.citation in record.remarks


def test_the_terms_are_said_plainly():
    assert "research only" in FREIHAND.licence
    assert "none stated" in EGOHANDS.licence


def test_every_archive_comes_over_https_into_a_folder_of_its_own():
    archives = [archive for source in SOURCES.values() for archive in source.archives]
    assert all(url.startswith("https://") for archive in archives for url in archive.urls)
    assert len({archive.folder for archive in archives}) == len(archives)
    assert all(archive.holds for archive in archives)


def test_a_data_set_is_found_in_the_folder_it_was_fetched_to(tmp_path: Path):
    assert locate(tmp_path, "a.json", ("set",)) is None
    (tmp_path / "set" / "set").mkdir(parents=True)
    (tmp_path / "set" / "set" / "a.json").touch()
    assert locate(tmp_path, "a.json", ("set",)) == tmp_path / "set" / "set"
    (tmp_path / "a.json").touch()
    assert locate(tmp_path, "a.json", ("set",)) == tmp_path
