"""Routes that read their functions when they are first needed: two hundred at once are half a second of every start."""

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import compile_path

from registry.members import find_member_twice, search_member_twice
from schemas.errors import InvalidInput
from schemas.identifiers import shorten


class StrictRequest(Request):
    """Its JSON says everything once."""

    async def json(self) -> Any:
        """Raises InvalidInput; ValueError for what is no JSON."""
        parsed, data = await super().json(), await self.body()
        try:
            name = find_member_twice(data, parsed)
        except orjson.JSONEncodeError:
            name = search_member_twice(data)
        if name is not None:
            raise InvalidInput("member_twice", field=shorten(name))
        return parsed


class LateRoute(APIRoute):
    """Knows at once what requests are matched with, and what the console says of it."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self._options = options
        self.path, self.endpoint = path, endpoint
        self.path_regex, self.path_format, self.param_convertors = compile_path(path)
        self.methods = set(options["methods"] or ("GET",))
        self.include_in_schema, self.summary = options["include_in_schema"], options["summary"]

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_strictly(request: Request) -> Response:
            return await answer(StrictRequest(request.scope, request.receive))

        return answer_strictly

    def __getattr__(self, name: str) -> Any:
        """Whatever else is asked for first makes the route whole."""
        options = vars(self).pop("_options", None)
        if options is None:
            raise AttributeError(name)
        super().__init__(self.path, self.endpoint, **options)
        return getattr(self, name)


class LateRouter(APIRouter):
    """A router with such routes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=LateRoute, **options)
