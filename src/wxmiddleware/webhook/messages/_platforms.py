"""What a component platform is told. Names and fields: docs/wechat.md#platforms."""

from __future__ import annotations

from dataclasses import dataclass

from ._base import Notice, text, whole, wire

__all__ = ["AuthorizedNotice", "ComponentTicket", "FastRegisterNotice", "UnauthorizedNotice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentTicket(Notice):
    """The ``component_verify_ticket`` that a component platform fetches its token with. A secret."""

    ticket: str = wire("ComponentVerifyTicket", secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizedNotice(Notice):
    """
    An account authorised the platform, or changed what it may do. The codes do not show.

    Attributes:
        authorizer_appid: The account.
        auth_code: What ``api_query_auth`` takes, once.
        auth_code_expires: When the code ends, as it arrived; libraries take it for seconds since 1970.
        pre_auth_code: That of the page on which the owner agreed.
    """

    authorizer_appid: str = wire("AuthorizerAppid")
    auth_code: str = wire("AuthorizationCode", secret=True)
    auth_code_expires: int = wire("AuthorizationCodeExpiredTime", read=whole)
    pre_auth_code: str = wire("PreAuthCode", secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnauthorizedNotice(Notice):
    """An account took its authorisation back."""

    authorizer_appid: str = wire("AuthorizerAppid")


@dataclass(frozen=True, slots=True, kw_only=True)
class FastRegisterNotice(Notice):
    """
    A mini program that the platform had registered is there, or not. The code does not show.

    Attributes:
        authorizer_appid: The new mini program; empty if it failed.
        auth_code: What ``api_query_auth`` takes, once; empty if it failed.
        status: ``0`` if it worked, else WeChat's number for what went wrong.
        error: What went wrong, in words.
        name: The company's or the mini program's.
    """

    authorizer_appid: str = wire("appid")
    auth_code: str = wire("auth_code", secret=True)
    status: str = wire("status")
    error: str = wire("msg", read=text)
    name: str = wire("info.name", read=text)
