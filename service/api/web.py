"""The page at `/` and the reference at `/docs`: the files of `clients/web`, served as they are.

Every file gets a route of its own instead of a mount at `/`, so that a misspelt API path is a 404 and not a
405, and so that nothing outside the folder can be named. Nothing is loaded from elsewhere: the service
works without a network.
"""

import mimetypes
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).resolve().parent.parent.parent / "clients" / "web"
_PAGES = {"index.html": "/", "docs.html": "/docs"}

# Windows' registry may say text/plain, which browsers refuse to run.
mimetypes.add_type("text/javascript", ".js")


def create_router(folder: Path = FOLDER) -> APIRouter:
    """Routes for the files of a folder; none when it is not there (an installation without the page)."""
    router = APIRouter(include_in_schema=False)
    if not folder.is_dir():
        return router
    files = StaticFiles(directory=folder)
    for path in sorted(folder.iterdir()):
        if path.is_file():
            route = _PAGES.get(path.name, f"/{path.name}")
            router.add_api_route(route, _endpoint(files, path.name), methods=["GET", "HEAD"])
    return router


def _endpoint(files: StaticFiles, file: str) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        # The files are small: no ranges, right ones or wrong ones (RFC 9110, section 14.2, leaves it to the server).
        scope = request.scope
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"range"]
        response = await files.get_response(file, scope)  # answers If-None-Match with 304
        response.headers["Cache-Control"] = "no-cache"  # kept by the browser, but checked for a new version
        return response

    return serve
