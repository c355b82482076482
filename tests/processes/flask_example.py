"""The Flask example, for servers that want a module with an app in it."""

from .apps import make_flask_app

app = make_flask_app()
