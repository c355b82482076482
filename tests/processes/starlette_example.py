"""The Starlette example, for servers that want a module with an app in it."""

from .apps import make_starlette_app

app = make_starlette_app()
