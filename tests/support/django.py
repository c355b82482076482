"""Django, which is set up once in a process, whichever test comes first; what one needs it overrides for itself."""

from __future__ import annotations

import django
from django.conf import settings


class Urls:
    """No paths: each test has its own."""

    urlpatterns = ()


def set_up_django() -> None:
    """Set Django up, unless another test of this process has."""
    if not settings.configured:
        settings.configure(
            ROOT_URLCONF=Urls, ALLOWED_HOSTS=["*"], SECRET_KEY="test", LOGGING_CONFIG=None, LOGIN_URL="/login"
        )
        django.setup()
