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
@pytest.mark.parametrize(("told", "said"), [("SIGHUP", "reload"), ("SIGTERM", ""), ("SIGINT", "")])
def test_signals_that_come_while_the_models_load(told: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(told=told)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, said)


TERMINAL = """
import os, pty, signal, uvicorn
from types import SimpleNamespace
from service.server import Server
terminal, stdin = pty.openpty()
os.dup2(stdin, 0)
server = Server(uvicorn.Config(lambda: None), SimpleNamespace(settings=SimpleNamespace(drain_seconds=0)))
with server.capture_signals():
    {event}
    os.kill(os.getpid(), signal.SIGHUP)
print("reload" if server._reload_asked else "stop" if server._stop_at else "nothing")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize(("event", "said"), [("pass", "reload"), ("os.close(terminal)", "stop")])
def test_a_closed_terminal_is_no_wish_to_reload(event: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TERMINAL.format(event=event)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, said), done.stderr
