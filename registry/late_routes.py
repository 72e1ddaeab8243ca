"""Routes that read their functions when they are first needed: two hundred at once are half a second of every start."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import compile_path


class LateRoute(APIRoute):
    """Knows at once what requests are matched with, and what the console says of it."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self._options = options
        self.path, self.endpoint = path, endpoint
        self.path_regex, self.path_format, self.param_convertors = compile_path(path)
        self.methods = set(options["methods"] or ("GET",))
        self.include_in_schema, self.summary = options["include_in_schema"], options["summary"]

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
