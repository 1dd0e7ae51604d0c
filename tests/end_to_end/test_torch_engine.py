"""The service on the torch engine, in a process of its own."""

from collections.abc import Callable
from pathlib import Path

import httpx


def test_the_torch_engine_serves_and_says_so(root: Path, start_server: Callable) -> None:
    running = start_server("--engine", "torch", "--device", "cpu")
    with httpx.Client(base_url=running.url, timeout=60) as client:
        assert client.get("/readyz").status_code == 200
        models = client.get("/v1/models").json()
        photo = (root / "tests" / "photos" / "rendered_005.jpg").read_bytes()
        answer = client.post("/v1/pose", content=photo, headers={"Content-Type": "image/jpeg"})
    for model in models.values():
        assert model["engine"].startswith("torch ")
        assert (model["device"], model["precision"]) == ("cpu", "float32")
        assert model["reason"] == "engine=torch was asked for; device=cpu was asked for"
    assert answer.status_code == 200
    assert answer.json()["hands"]
    running.stop()
    log = "".join(running.log)
    assert "(torch " in log
    assert "device=cpu was asked for" in log
