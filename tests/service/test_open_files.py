import subprocess
import sys

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
@pytest.mark.parametrize(
    ("soft", "hard", "found", "then"),
    [(256, 4096, None, 1200), (256, 512, 512, 512), (2048, 4096, None, 2048)],
    ids=["raised", "not enough", "enough"],
)
def test_connections_leave_files_for_all_else(soft: int, hard: int, found: int | None, then: int) -> None:
    program = f"""
import resource
from service.open_files import allow
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(allow(1000), resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{found} ({then}, {hard})"
