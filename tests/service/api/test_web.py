"""The page: it is there, it is whole, and it loads nothing from elsewhere."""

import re
from pathlib import Path

import pytest

from service.inference import drawing


@pytest.fixture
def folder(root: Path) -> Path:
    return root / "clients" / "web"


def test_the_page_and_the_reference_are_served(client) -> None:
    for url in ("/", "/docs"):
        response = client.get(url)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/html")
        assert "script-src 'self'" in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"


def test_everything_a_page_refers_to_is_served(client, folder: Path) -> None:
    seen = set()
    for path in folder.iterdir():
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r"""(?:src|href)="([^"#:]+)"|from "(\./[^"]+)\"""", text):
            seen.add("/" + (target[0] or target[1]).removeprefix("./").removeprefix("/"))
    assert {"/app.js", "/draw.js", "/hand-client.js", "/style.css"} <= seen
    for url in seen:
        assert client.get(url).status_code == 200, url


def test_scripts_come_as_scripts(client) -> None:
    response = client.get("/app.js")
    assert response.headers["content-type"].startswith("text/javascript")
    again = client.get("/app.js", headers={"If-None-Match": response.headers["etag"]})
    assert again.status_code == 304


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_inline(folder: Path) -> None:
    """The content security policy would stop it; this says so before a browser does."""
    for path in folder.iterdir():
        text = path.read_text(encoding="utf-8")
        outside = set(re.findall(r"https?://[\w.]+", text)) - {"http://www.w3.org"}
        assert not outside, path.name
        if path.suffix == ".html":
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text), path.name


def test_nothing_outside_the_folder_can_be_reached(client) -> None:
    for url in ("/../pyproject.toml", "/%2e%2e/pyproject.toml", "/settings.py"):
        assert client.get(url).status_code == 404


def test_the_page_draws_doubt_where_the_service_does(folder: Path) -> None:
    script = (folder / "draw.js").read_text(encoding="utf-8")
    for name in ("SURE", "SURE_SIDE"):
        assert f"const {name} = {getattr(drawing, f'_{name}')};" in script


def test_the_page_knows_the_keypoints_in_the_services_order(folder: Path) -> None:
    from service.models.keypoints import FINGERS

    script = (folder / "draw.js").read_text(encoding="utf-8")
    found = re.search(r"FINGERS = (\[\[.*?\]\])", script, re.DOTALL)
    assert found
    assert [tuple(map(int, re.findall(r"\d+", f))) for f in re.findall(r"\[([\d, ]+)\]", found[1])] == list(
        FINGERS
    )


@pytest.mark.parametrize("asked", ["bytes=abc", "bytes=0-3", "bytes=99999999-"])
def test_a_range_of_a_file_gets_the_file(client, asked: str) -> None:
    whole = client.get("/app.js")
    part = client.get("/app.js", headers={"Range": asked})
    assert (part.status_code, part.content) == (200, whole.content)


@pytest.mark.parametrize("path", ["/v1/pose/", "/docs/", "/healthz/"])
def test_a_slash_too_much_is_another_address_and_leads_nowhere(client, path: str) -> None:
    answer = client.post(path, headers={"Host": "localhost"}, follow_redirects=False)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
