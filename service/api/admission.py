"""The door before the queue: while it is full, pictures are turned away before anything is done for them.

Under overload most requests are refused, so what a refusal costs is taken from those that are served. Here it
costs 60 µs, after taking the request apart, finding its route and checking its parameters 330.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import batch, pose
from service.api.problems import respond
from service.api.state import Service

_ROUTES = {route.path: route for router in (pose.router, batch.router) for route in router.routes}  # type: ignore[attr-defined]


class RefuseWhenFull:
    """ASGI middleware: 503 for pictures while the queue is full. The body is not waited for: the server reads and drops
    what is under way, so that the client can go on with its connection.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = _ROUTES.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if route is None or not self._service.workers.full:
            await self._app(scope, receive, send)
            return
        scope["route"] = route  # for who counts
        await respond(pose.queue_full(self._service))(scope, receive, send)
