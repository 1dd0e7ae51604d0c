"""What the checks of the Docker files share; none of them needs Docker."""

from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture(scope="session")
def compose(root: Path) -> dict[str, Any]:
    """docker-compose.yml."""
    return yaml.safe_load((root / "docker-compose.yml").read_text())
