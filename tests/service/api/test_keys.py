import hashlib
import hmac
import os
from pathlib import Path

import pytest

from service.api import keys
from service.api.keys import Key, Keyring, KeysError, create, load, parse, read_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A keys file with one key, its owner's alone."""
    path = tmp_path / "keys"
    path.write_text(f"# who may\n\n{create('lab', ['inference'])[1].record()}\n")
    path.chmod(0o600)
    return path


def test_a_key_is_found_by_its_text_and_by_nothing_else() -> None:
    (lab, lab_key), (_, other_key) = create("lab", ["inference"]), create("other", ["admin", "metrics"])
    ring = Keyring([lab_key, other_key])
    assert ring.find(lab) is lab_key
    for wrong in ("", lab[:-1], lab + "x", lab.upper(), lab_key.digest.hex(), lab_key.record(), f" {lab}"):
        assert ring.find(wrong) is None
    assert Keyring().find(lab) is None
    assert other_key.scopes == {"admin", "metrics"}


def test_keys_are_long_and_never_the_same() -> None:
    texts = {create("lab", ["inference"])[0] for _ in range(100)}
    assert len(texts) == 100
    assert {len(text) for text in texts} == {46}


def test_what_was_not_made_here_never_works_even_if_its_hash_is_listed() -> None:
    password = "hunter2"
    guessable = Key("lab", frozenset(["inference"]), hashlib.sha256(password.encode()).digest())
    assert Keyring([guessable]).find(password) is None


def test_every_look_compares_with_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [create(f"k{i}", ["inference"]) for i in range(5)]
    ring = Keyring([key for _, key in made])
    compared = 0

    def count(a: bytes, b: bytes) -> bool:
        nonlocal compared
        compared += 1
        return real(a, b)

    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", count)
    for presented in (made[0][0], made[4][0], "", "hp_" + "x" * 43, "x" * 10_000, "\udcff"):
        compared = 0
        ring.find(presented)
        assert compared == 5


def test_a_record_says_all_but_the_key() -> None:
    text, key = create("lab", ["metrics", "inference"])
    assert key.record() == f"lab:inference+metrics:{hashlib.sha256(text.encode()).hexdigest()}"
    assert parse([key.record()], "here") == [key]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("lab", "looks like"),
        ("lab:inference:abc", "looks like"),
        (f"lab:inference:{'g' * 64}", "looks like"),
        (f"lab:everything:{'0' * 64}", "no scope 'everything'"),
        (f"lab::{'0' * 64}", "no scope ''"),
        (f"a b:inference:{'0' * 64}", "name"),
        (f":inference:{'0' * 64}", "name"),
    ],
)
def test_what_is_no_record_is_told_by_its_place(record: str, words: str) -> None:
    with pytest.raises(KeysError, match=r"^here, key 2: ") as caught:
        parse(["", record], "here")
    assert words in str(caught.value)


def test_a_key_in_place_of_its_hash_is_refused_and_not_repeated() -> None:
    text, _ = create("lab", ["inference"])
    with pytest.raises(KeysError, match="only its hash") as caught:
        load(f"lab:inference:{text}", None)
    assert text not in str(caught.value)


def test_names_and_keys_are_there_once() -> None:
    _, key = create("lab", ["inference"])
    for twin in (create("lab", ["admin"])[1], Key("twin", key.scopes, key.digest)):
        with pytest.raises(KeysError, match="twice"):
            Keyring([key, twin])
    with pytest.raises(KeysError, match="at most 1000"):
        Keyring([Key(str(i), key.scopes, i.to_bytes(32)) for i in range(1001)])


def test_keys_of_a_file_and_of_the_settings_are_one_ring(file: Path) -> None:
    _, other = create("other", ["admin"])
    assert [key.name for key in load(other.record(), file).keys] == ["other", "lab"]
    assert not load("", None)


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("mode", [0o604, 0o620, 0o602, 0o601, 0o666])
def test_a_file_that_others_may_read_or_change_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(KeysError, match=f"mode {mode:04o}.*chmod 600"):
        read_file(file)
    file.chmod(0o640)
    assert len(read_file(file)) == 1


@pytest.mark.skipif(os.name != "posix", reason="owners are POSIX's")
def test_a_file_of_somebody_else_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys.os, "geteuid", lambda: os.getuid() + 1)
    if os.getuid() == 0:
        os.chown(file, 12345, -1)
    with pytest.raises(KeysError, match="belongs to user"):
        read_file(file)
    assert len(read_file(file, anyones=True)) == 1
    file.chmod(0o644)
    with pytest.raises(KeysError, match="chmod 600"):
        read_file(file, anyones=True)


def test_a_file_that_cannot_be_used_is_named(file: Path, tmp_path: Path) -> None:
    file.write_text("# nobody\n")
    with pytest.raises(KeysError, match="holds no key"):
        load("", file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(KeysError, match="UTF-8"):
        load("", file)
    with pytest.raises(KeysError, match="missing: No such file"):
        load("", tmp_path / "missing")
    with pytest.raises(KeysError):
        load("", tmp_path)
