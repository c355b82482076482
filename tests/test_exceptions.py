"""The errors: one tree, with data on them, and nothing secret. Through a provider: test_secrets.py."""

from __future__ import annotations

import copy
import importlib
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import wxmiddleware
from wxmiddleware import exceptions
from wxmiddleware.exceptions import (
    APIError,
    ConfigurationError,
    NoProvider,
    NotVerified,
    ProviderClosed,
    StoreError,
    TokenError,
    TokenRefused,
    TokenUnavailable,
    WxMiddlewareError,
)

ALL = [getattr(exceptions, name) for name in exceptions.__all__]
TELLING = [TokenError, TokenRefused, TokenUnavailable, APIError]
FIELDS = {"errcode": 40013, "errmsg": "invalid appid rid: a", "rid": "a", "retry_after": 1.5}


@pytest.mark.parametrize("kind", ALL)
def test_one_root(kind: type[Exception]) -> None:
    """One except clause catches everything that the package raises on purpose."""
    assert issubclass(kind, WxMiddlewareError)
    assert issubclass(kind, Exception)


@pytest.mark.parametrize(
    ("kind", "parents"),
    [
        (ConfigurationError, (ValueError,)),
        (NoProvider, (LookupError,)),
        (NotVerified, ()),
        (TokenRefused, (TokenError,)),
        (TokenUnavailable, (TokenError,)),
    ],
)
def test_parents(kind: type[Exception], parents: tuple[type[Exception], ...]) -> None:
    """An error is also the built-in one that its reader expects."""
    assert all(issubclass(kind, parent) for parent in parents)


@pytest.mark.parametrize("kind", [APIError, StoreError, ConfigurationError, ProviderClosed, NoProvider, NotVerified])
def test_no_token_error(kind: type[Exception]) -> None:
    """What does not come from fetching a token is no TokenError."""
    assert not issubclass(kind, TokenError)


def test_tree_is_drawn_in_the_docstring() -> None:
    """Every class is in the picture."""
    assert exceptions.__doc__ is not None
    assert [] == [name for name in exceptions.__all__ if name not in exceptions.__doc__]


def test_public() -> None:
    """Every class is there as an attribute of the package."""
    assert [getattr(wxmiddleware, name) for name in exceptions.__all__] == ALL


def test_nothing_forgotten() -> None:
    """No public class of the module is missing from its list."""
    found = [name for name, kind in vars(exceptions).items() if isinstance(kind, type) and not name.startswith("_")]

    assert sorted(exceptions.__all__) == exceptions.__all__ == sorted(found)


@pytest.mark.parametrize("kind", TELLING)
class TestFields:
    def test_defaults(self, kind: type[TokenError]) -> None:
        """What is not known is None, and the text is empty."""
        error = kind("No.")

        assert (None, "", None, None) == (error.errcode, error.errmsg, error.rid, error.retry_after)
        assert str(error) == "No."

    def test_order(self, kind: type[TokenError]) -> None:
        """Fields are given by name, or in this order, as `args` has them."""
        assert FIELDS == vars(kind("No.", 40013, "invalid appid rid: a", "a", 1.5))

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickle(self, kind: type[TokenError], protocol: int) -> None:
        """An error that a worker sends to another process keeps its class, text and fields."""
        error = kind("No.", errcode=40013, errmsg="invalid appid rid: a", rid="a", retry_after=1.5)
        back = pickle.loads(pickle.dumps(error, protocol))

        assert kind is type(back)
        assert error.args == back.args == ("No.", *FIELDS.values())
        assert vars(error) == vars(back) == FIELDS

    def test_copy(self, kind: type[TokenError]) -> None:
        """A copy has the same fields."""
        error = kind("No.", errcode=40013, errmsg="invalid appid rid: a", rid="a", retry_after=1.5)

        assert FIELDS == vars(copy.copy(error)) == vars(copy.deepcopy(error))

    def test_subclass(self, kind: type[TokenError]) -> None:
        """A subclass of the user's is pickled as itself."""
        error = type("Mine", (kind,), {"__module__": __name__})("No.", errcode=1)
        back = copy.deepcopy(error)

        assert type(back) is type(error)
        assert back.errcode == 1


@pytest.mark.parametrize("kind", [ConfigurationError, NoProvider, NotVerified, ProviderClosed, StoreError])
def test_plain_ones_pickle(kind: type[Exception]) -> None:
    """The errors without fields survive as well."""
    back = pickle.loads(pickle.dumps(kind("No.")))

    assert kind is type(back)
    assert back.args == ("No.",)


@pytest.mark.parametrize("kind", TELLING)
class TestQueues:
    """Workers send errors to each other, and Celery's JSON makes them anew from their arguments."""

    @pytest.mark.parametrize("fields", [{}, FIELDS, {"errcode": 40001}, {"retry_after": 60.0}, {"errmsg": "x"}])
    def test_json(self, kind: type[TokenError], fields: dict[str, Any]) -> None:
        """All fields come back, and so does the text."""
        error = kind("No.", **fields)
        again = kind(*json.loads(json.dumps(error.args)))

        assert vars(error) == vars(again)
        assert "No." == str(error) == str(again)

    def test_celery(self, kind: type[TokenError]) -> None:
        """As its backends do it: module, name and arguments."""
        error = kind("No.", **FIELDS)  # type: ignore[arg-type]
        sent = json.dumps({"exc_type": kind.__name__, "exc_message": error.args, "exc_module": kind.__module__})
        read = json.loads(sent)
        again = getattr(importlib.import_module(read["exc_module"]), read["exc_type"])(*read["exc_message"])

        assert (type(error), vars(error)) == (type(again), vars(again))

    @pytest.mark.parametrize(
        "copied", [copy.copy, copy.deepcopy, *(lambda one, n=n: pickle.loads(pickle.dumps(one, n)) for n in range(6))]
    )
    def test_copies(self, kind: type[TokenError], copied: Callable[[Any], Any]) -> None:
        """Notes come along."""
        error = kind("No.", **FIELDS)  # type: ignore[arg-type]
        error.add_note("a note")
        again = copied(error)

        assert (str(error), vars(error), error.args) == (str(again), vars(again), again.args)

    def test_short(self, kind: type[TokenError]) -> None:
        """Where nothing more is known there is one argument."""
        assert ("No.",) == kind("No.").args
