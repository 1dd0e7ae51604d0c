"""What a connection is told before it is ended, where no application is asked."""

import asyncio

from service.api.problems import MEDIA_TYPE, Problem, respond, title

LINGER_SECONDS = 1.0  # for one that is turned away to speak, and again to hear the answer


def say_last(transport: asyncio.Transport, data: bytes = b"") -> None:
    """Write, and say that nothing more will come; what the other side still says can be read."""
    transport.write(data)
    if transport.can_write_eof():
        transport.write_eof()


def written(problem: Problem) -> bytes:
    """A problem as it goes over the wire; the connection is closed behind it."""
    response = respond(problem)
    head = [f"HTTP/1.1 {problem.status} {title(problem.status)}", f"content-type: {MEDIA_TYPE}"]
    head += [f"{name}: {value}" for name, value in problem.headers.items()]
    head += [f"content-length: {len(response.body)}", "connection: close"]
    return "\r\n".join([*head, "", ""]).encode("ascii") + bytes(response.body)
