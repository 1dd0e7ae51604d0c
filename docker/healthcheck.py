"""Is the service in this container alive and ready? Exit code 0 or 1, and a line that says why.

Docker runs it every few seconds, so it takes the standard library's smallest client.
"""

import http.client
import os
import sys

PATHS = ("/healthz", "/readyz")
SECONDS = 4.0  # below the time-out of the image's HEALTHCHECK


def check(port: int) -> str | None:
    """What is wrong with the service on this port of the container, or None."""
    for path in PATHS:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS / len(PATHS))
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            answer = response.read(500).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return f"{path}: {error}"
        finally:
            connection.close()
        if response.status != 200:
            return f"{path}: {response.status} {answer}"
    return None


if __name__ == "__main__":
    wrong = check(int(os.environ.get("HANDPOSE_PORT") or "8000"))
    print(wrong or "ready")  # noqa: T201 - `docker inspect` shows it
    sys.exit(1 if wrong else 0)
