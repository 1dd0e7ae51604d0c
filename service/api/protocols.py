"""The classes that speak HTTP and WebSocket, with the limits of a server's connections."""

import asyncio

from service.api.connections import Connections
from service.api.http_protocol import HttpProtocol
from service.api.websocket_protocol import WebSocketProtocol


def protocols(connections: Connections) -> tuple[type[asyncio.Protocol], type[asyncio.Protocol]]:
    """For `uvicorn.Config(http=…, ws=…)`."""

    class Http(HttpProtocol):
        places = connections

    class WebSocket(WebSocketProtocol):
        places = connections

    return Http, WebSocket
