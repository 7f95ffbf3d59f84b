"""Around every request: the version that the client asks for, errors as Docker words them, and Docker's headers."""

from __future__ import annotations

import structlog
from aiohttp import web
from aiohttp.client_exceptions import ClientConnectionResetError

from swarmd import __version__
from swarmd.api import answers
from swarmd.api.context import ENGINE, Handler
from swarmd.api.reading import LARGEST_BODY
from swarmd.api.upstream import OLDEST, numbers
from swarmd.errors import BadRequest, Lost, OutOfSequence, SwarmError

log = structlog.get_logger()


_IN_WORDS = {
    404: ("page not found", 404),
    405: ("page not found", 404),
    413: (f"the request's body is larger than {LARGEST_BODY >> 20} MiB", 413),
}
"""What aiohttp refuses by itself, as Docker says it."""


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong is answered as ``{"message": …}``; the daemon lives on."""
    try:
        return await handler(request)
    except SwarmError as error:
        return failure(str(error), error.status)
    except Lost:
        return failure(str(OutOfSequence()), OutOfSequence.status)
    except web.HTTPException as error:
        message, status = _IN_WORDS.get(error.status, (error.reason, error.status))
        return failure(message, status)
    except (ClientConnectionResetError, ConnectionResetError):
        raise  # the client has gone: nobody is left to be told
    except Exception as error:
        log.exception("request failed", method=request.method, path=request.path)
        return failure(f"internal error in swarmd: {type(error).__name__}: {error}", 500)


@web.middleware
async def api_version(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse versions that are not spoken.

    :raises BadRequest: the client's is too old or too new.
    """
    asked = request.match_info.get("version")
    newest = request.app[ENGINE].api_version
    if asked is not None:
        if numbers(asked) < numbers(OLDEST):
            raise BadRequest(
                f"client version {asked} is too old. Minimum supported API version is {OLDEST}, "
                "please upgrade your client to a newer version"
            )
        if numbers(asked) > numbers(newest):
            raise BadRequest(f"client version {asked} is too new. Maximum supported API version is {newest}")
    return await handler(request)


def failure(message: str, status: int) -> web.Response:
    return answers.json({"message": message}, status)


async def docker_headers(request: web.Request, response: web.StreamResponse) -> None:
    """For ``on_response_prepare``."""
    headers = response.headers
    headers.setdefault("Api-Version", request.app[ENGINE].api_version)
    headers.setdefault("Ostype", "linux")
    headers.setdefault("Docker-Experimental", "false")
    headers["Server"] = f"swarmd/{__version__} (linux)"
