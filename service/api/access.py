"""Who may do what, and how often: asked at the edge, before a byte of a body is read."""

import logging
import math
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from service import safety
from service.api.addresses import client_of
from service.api.keys import Scope
from service.api.origins import allowed, parse_origins
from service.api.places import Places
from service.api.problems import Problem
from service.api.rate_limits import RateLimiter, TooFastError
from service.settings import Settings

# A page cannot set headers on a WebSocket, and a key in the address would end up in logs and histories. So it comes
# as a second subprotocol beside the first, which alone is answered: RFC 6455, section 1.9.
SUBPROTOCOL = "handpose"
KEY_SUBPROTOCOL = "handpose.key."

NO_ACCESS = {
    401: "The key is missing or unknown.",
    403: "The key lacks the scope, or the page's origin is not allowed.",
    429: "More than the rate limit allows; Retry-After says when to try again.",
}
log = logging.getLogger("service")


class Access:
    """The keys, rates and origins of a service."""

    def __init__(self, settings: Settings) -> None:
        """Raises UnsafeError."""
        self._settings = settings
        self.keyring = safety.keyring(settings)
        self.keyless = settings.keyless()
        self.origins = parse_origins(settings.allowed_origins)
        self.rates = RateLimiter(settings.rate_limit, settings.burst())
        self.streams = Places(settings.max_streams_per_client)

    def reload_keys(self) -> None:
        """Take the keys as the file has them now; when they cannot be used, the old ones stay and the log says why."""
        if self._settings.keys_file is None:
            return
        try:
            self.keyring = safety.keyring(self._settings)
        except safety.UnsafeError as error:
            log.error("the keys stay as they are: %s", error)
        else:
            log.info("keys in use: %s", ", ".join(key.name for key in self.keyring.keys))

    def admit(self, connection: HTTPConnection, scope: Scope, *, cost: int = 0) -> str:
        """Let a request or a stream in. Returns the name under which its caller is counted: `key lab`, `192.0.2.7`.

        cost: in pictures, against the rate.
        Raises Problem: 401 for no key where one is needed, or an unknown one; 403 for a key without the scope, and
        for a page of a foreign origin; 429 for too many.
        """
        if connection.scope.get("method") != "GET" and not self.welcomes(connection):
            origin = connection.headers["origin"][:100]
            raise Problem(
                403,
                f"Pages of {origin} may not use this service: HANDPOSE_ALLOWED_ORIGINS does not list them.",
            )
        caller = self._identify(connection, scope)
        self.charge(caller, cost)
        return caller

    def welcomes(self, connection: HTTPConnection) -> bool:
        """Whether it comes from a program, one of our own pages or one of an allowed origin."""
        headers = connection.headers
        # A proxy that is trusted, and keys that pages need, let the service be known by a name that we do not know.
        keyed = self.keyring and "inference" not in self.keyless
        unnamed = self._settings.local() and not self._settings.trusted_proxies and not keyed
        return allowed(headers.get("origin"), headers.get("host", ""), self.origins, unnamed=unnamed)

    def charge(self, caller: str, cost: int, *, paid: int = 0) -> None:
        """Raises Problem 429 when the caller has not saved up so much.

        paid: what the same request was charged before, and will be again when it is sent again.
        """
        if not cost:
            return
        try:
            self.rates.take(caller, cost)
        except TooFastError as error:
            # A batch that is larger than the burst is refused at the start, so there is always a time to wait for.
            wait = max(1, math.ceil((error.seconds or 0.0) + paid / self.rates.rate))
            rate = f"{self.rates.rate:g} pictures a second, {self.rates.burst} at once"
            raise Problem(429, f"At most {rate}.", headers={"Retry-After": str(wait)}) from None

    def _identify(self, connection: HTTPConnection, scope: Scope) -> str:
        host = connection.client.host if connection.client else None
        address = client_of(host)
        presented = key_of(connection)
        key = self.keyring.find(presented or "")
        if key is not None and scope in key.scopes:
            return f"key {key.name}"
        if scope in self.keyless or (not self.keyring and scope != "admin"):
            return address
        if not self.keyring.grants(scope):  # admin alone: for the others the settings make sure
            raise Problem(403, f"This needs a key with the scope {scope}, and this service has none.")
        if key is not None:
            challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
            detail = f"The key {key.name} may not do this: it lacks the scope {scope}."
            raise Problem(403, detail, headers={"WWW-Authenticate": challenge})
        self.charge(address, 1)  # guessing has its price
        if presented is None:
            detail = "No key was sent. Send it in the header Authorization: Bearer hp_…"
            raise Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
        log.warning("unknown key from %s", address)
        challenge = 'Bearer error="invalid_token"'
        raise Problem(401, "That key is not known here.", headers={"WWW-Authenticate": challenge})


def key_of(connection: HTTPConnection) -> str | None:
    """The key that a request or a WebSocket's handshake presents; None without one."""
    kind, _, value = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    for protocol in connection.scope.get("subprotocols", ()):
        if protocol.startswith(KEY_SUBPROTOCOL):
            return str(protocol.removeprefix(KEY_SUBPROTOCOL))
    return None


_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="Needed where the service has keys; made by `python -m service create-key NAME`.",
)


def require(scope: Scope, *, cost: int = 0) -> Any:
    """For a route: `caller: Annotated[str, require("inference", cost=1)]`. It is described in OpenAPI."""

    async def check(request: Request, _: Annotated[Any, Depends(_BEARER)]) -> str:
        access: Access = request.app.state.service.access
        return access.admit(request, scope, cost=cost)

    return Depends(check)
