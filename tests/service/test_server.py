import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, uvicorn
from service.server import Server, stoppable
with stoppable():
    os.kill(os.getpid(), signal.{told})
server = Server(uvicorn.Config(lambda: None), None)
with server.capture_signals():
    pass
print("reload" if server._reload_asked else "nothing")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize(("told", "said"), [("SIGHUP", "reload"), ("SIGTERM", "")])
def test_signals_that_come_while_the_models_load(told: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(told=told)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, said)
