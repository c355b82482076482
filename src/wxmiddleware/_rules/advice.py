"""
What an errcode means where, and what a person should do about it: one table, with the page each row comes from.

The same number means different things at different places: 40001 is a rejected token where an API is called, and a
wrong secret at a token endpoint and everywhere at WeCom. So a row says where it counts. ``{ip}`` in an advice is the
address that WeChat saw.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from .models import Cause

__all__ = ["ROWS", "Place", "Row", "advice_at", "causes_at"]


class Place(Enum):
    """The kind of endpoint that answered with an errcode: the same number differs between them."""

    TOKEN = "the token endpoints of WeChat"  # noqa: S105 - no password
    API = "an API of WeChat"
    TICKET = "WeChat's endpoint of tickets"
    PLATFORM = "the endpoints of a third-party platform"
    AUTHORIZER = "the token endpoint of an account that authorised a platform"
    WECOM_TOKEN = "the token endpoint of WeCom"  # noqa: S105 - no password
    WECOM = "an API of WeCom"


class Row(NamedTuple):
    """
    One errcode.

    Attributes:
        place: Where it was answered.
        errcode: The number.
        cause: What it means for the next fetch; ``None`` where nothing is fetched.
        advice: What it means and what to do, for a person.
        source: The page that says so.
    """

    place: Place
    errcode: int
    cause: Cause | None
    advice: str
    source: str


_WECHAT: Final = "https://developers.weixin.qq.com"
_MINI: Final = f"{_WECHAT}/miniprogram/dev/OpenApiDoc"
_TOKEN_PAGE: Final = f"{_WECHAT}/doc/subscription/api/base/api_getaccesstoken.html"
_STABLE: Final = f"{_WECHAT}/doc/subscription/api/base/api_getstableaccesstoken.html"
_RISK: Final = f"{_WECHAT}/doc/offiaccount/Basic_Information/Get_access_token.html"
_CODES: Final = f"{_WECHAT}/doc/offiaccount/Getting_Started/Global_Return_Code.html"
_COMMON: Final = f"{_WECHAT}/doc/channels/API/basics/commErrCode.html"
_LIMITS: Final = f"{_WECHAT}/doc/offiaccount/Message_Management/API_Call_Limits.html"
_TROUBLES: Final = f"{_WECHAT}/doc/oplatform/developers/troubleshooting"
_COMPONENT: Final = (
    f"{_WECHAT}/doc/oplatform/Third-party_Platforms/2.0/api/ThirdParty/token/component_access_token.html"
)
_AUTHORIZER_PAGE: Final = f"{_WECHAT}/doc/oplatform/openApi/ticket-token/api_getauthorizeraccesstoken.html"
_JSSDK: Final = f"{_WECHAT}/doc/offiaccount/OA_Web_Apps/JS-SDK.html"
_MESSAGES: Final = f"{_WECHAT}/doc/service/en/guide/product/message/Receiving_standard_messages.html"
_LOGIN: Final = f"{_MINI}/user-login/code2Session.html"
_SUBSCRIBE: Final = f"{_MINI}/mp-message-management/subscribe-message/sendMessage.html"
_CHECK: Final = f"{_MINI}/sec-center/sec-check/msgSecCheck.html"
_QR_CODE: Final = f"{_MINI}/qrcode-link/qr-code/getUnlimitedQRCode.html"
_OAUTH: Final = f"{_WECHAT}/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html"
_WECOM_PAGES: Final = "https://developer.work.weixin.qq.com/document/path"
_WECOM_CODES: Final = f"{_WECOM_PAGES}/90313"
_WECOM_LIMITS: Final = f"{_WECOM_PAGES}/90312"
_WECOM_IP: Final = f"{_WECOM_PAGES}/90664"
_WECOM_TOKEN: Final = f"{_WECOM_PAGES}/91039"
_REPORTED: Final = "reported by developers; on no page of WeChat's"

_TRANSIENT, _PERMANENT, _QUOTA = Cause.TRANSIENT, Cause.PERMANENT, Cause.QUOTA
_CHECK_SECRET: Final = "Check the AppSecret: it is wrong, was reset, or belongs to another account."  # noqa: S105
_ALLOW: Final = "Add {ip} to the account's IP allowlist (IP白名单) at mp.weixin.qq.com."
_ALLOW_AT_WECOM: Final = (
    "Add {ip} to the app's trusted IPs (企业可信IP) on the app's page at work.weixin.qq.com; that takes about a "
    "minute. For an app of a provider (服务商) it is the provider's IP allowlist (IP白名单), in its basic information."
)
_WECOM_SECRET: Final = "the secret: it is wrong, was reset, is another corp's, or its app is disabled."  # noqa: S105
_REJECTED: Final = "The access token was rejected, and so was a newer one: it may be of another kind."
_COMPONENT_REJECTED: Final = "The component_access_token was rejected, and so was a newer one."
_AGAIN: Final = "Its owner has to authorise the platform again."
_PLATFORM_SECRET: Final = "Check the platform's AppSecret: it is wrong or was reset."  # noqa: S105
# Of a token that an API rejected, after all that could be done.
_REJECTED_AGAIN: Final = (
    "The token was rejected. WeChatAuth and with_token refresh it and call once more; what you see is the answer to "
    "that, or there was no new token, or no second call was possible. See the log of wxmiddleware."
)

_T, _A, _J, _P, _U = Place.TOKEN, Place.API, Place.TICKET, Place.PLATFORM, Place.AUTHORIZER
_W, _V = Place.WECOM_TOKEN, Place.WECOM

ROWS: Final[tuple[Row, ...]] = (
    Row(_T, -1, _TRANSIENT, "WeChat is busy.", _STABLE),
    Row(
        _T,
        -1000,
        _TRANSIENT,
        "WeChat is busy, or the account has no IP allowlist (IP白名单) at all; check that it has one.",
        _REPORTED,
    ),
    Row(_T, 40001, _PERMANENT, _CHECK_SECRET, _TOKEN_PAGE),
    Row(
        _T,
        40002,
        _PERMANENT,
        "grant_type must be client_credential; check what stands between you and WeChat.",
        _STABLE,
    ),
    Row(_T, 40013, _PERMANENT, "Check the AppID: WeChat does not know it.", _STABLE),
    Row(_T, 40125, _PERMANENT, _CHECK_SECRET, _STABLE),
    Row(_T, 40164, _PERMANENT, _ALLOW, _STABLE),
    Row(_T, 40243, _PERMANENT, "The AppSecret is frozen: its owner can unfreeze it at mp.weixin.qq.com.", _TOKEN_PAGE),
    Row(_T, 41002, _PERMANENT, "The AppID did not arrive; check what stands between you and WeChat.", _STABLE),
    Row(_T, 41004, _PERMANENT, "The AppSecret did not arrive; check what stands between you and WeChat.", _STABLE),
    Row(_T, 43002, _PERMANENT, "The request arrived as a GET; check what stands between you and WeChat.", _STABLE),
    Row(
        _T,
        45009,
        _QUOTA,
        "The day's quota of token fetches is used up; see who else fetches, or reset it (clear_quota).",
        _LIMITS,
    ),
    Row(_T, 45011, _TRANSIENT, "Too many token fetches in this minute.", _STABLE),
    Row(_T, 48001, _PERMANENT, "This account may not use this API.", _TROUBLES),
    Row(_T, 50002, _PERMANENT, "The account is limited; its owner sees why at mp.weixin.qq.com.", _COMMON),
    Row(
        _T,
        50004,
        _PERMANENT,
        "WeChat forbids this account to use access tokens; ask its owner to appeal.",
        _TOKEN_PAGE,
    ),
    Row(_T, 50007, _PERMANENT, "The account is frozen; its owner sees why at mp.weixin.qq.com.", _TOKEN_PAGE),
    Row(_T, 61024, _PERMANENT, "This is a third-party platform: it has to use api_component_token.", _CODES),
    Row(
        _T,
        89501,
        _PERMANENT,
        "The account's administrator has been asked to allow this IP and has not answered yet.",
        _RISK,
    ),
    Row(
        _T,
        89503,
        _PERMANENT,
        "The account's administrator has to allow this IP, in the message WeChat has just sent.",
        _STABLE,
    ),
    Row(_T, 89506, _PERMANENT, "The administrator refused this IP twice: it is blocked for 24 hours.", _STABLE),
    Row(_T, 89507, _PERMANENT, "The administrator refused this IP: it is blocked for an hour.", _STABLE),
    Row(_A, -1, None, "WeChat is busy; try again in a moment.", _CODES),
    Row(_A, 40001, None, _REJECTED_AGAIN, _CODES),
    Row(_A, 40003, None, "Check the openid: it is not one of this account's users.", _CODES),
    Row(_A, 40007, None, "Check the media_id: temporary media last three days, and belong to one account.", _CODES),
    Row(_A, 40013, None, "Check the AppID: WeChat does not know it, or it is not the token's own.", _CODES),
    Row(_A, 40014, None, _REJECTED_AGAIN, _CODES),
    Row(
        _A,
        40029,
        None,
        "The code is wrong, older than five minutes, or of another account; have the user log in again.",
        _LOGIN,
    ),
    Row(
        _A,
        40037,
        None,
        "Check the template's id: it is not one of this account's, or was deleted at mp.weixin.qq.com.",
        _SUBSCRIBE,
    ),
    Row(
        _A,
        40066,
        None,
        "Check the path of the URL; for a mini program's code also that it has a released version.",
        _COMMON,
    ),
    Row(_A, 40097, None, "A parameter is missing or wrong; see the page of this API.", _QR_CODE),
    Row(_A, 40125, None, _CHECK_SECRET, _CODES),
    Row(
        _A,
        40163,
        None,
        "The code has been used before: each is good for one call. Does a page load twice, or a retry send it again?",
        _OAUTH,
    ),
    Row(_A, 40164, None, _ALLOW, _CODES),
    Row(_A, 40226, None, "WeChat holds this user for a risk and does not let the login through.", _LOGIN),
    Row(
        _A,
        41001,
        None,
        "There is no access_token in the URL. If WeChatAuth was to add it, see that the URL is on the account's "
        "base_url or in hosts=, and that no redirect stands between.",
        _CODES,
    ),
    Row(
        _A,
        41030,
        None,
        "Check the page: it has to be in the released version of the mini program, without a / in front and without "
        "parameters. For a version that is not released say check_path=false and env_version.",
        _QR_CODE,
    ),
    Row(_A, 42001, None, _REJECTED_AGAIN, _CODES),
    Row(_A, 43002, None, "This API wants a POST.", _CODES),
    Row(_A, 43003, None, "Write https:// in the URL.", _COMMON),
    Row(_A, 43004, None, "The user does not follow this account.", _CODES),
    Row(
        _A,
        43101,
        None,
        "The user has not agreed to this message, or has used up the agreement: each is good for one message. Ask for "
        "it in the mini program (wx.requestSubscribeMessage).",
        _SUBSCRIBE,
    ),
    Row(_A, 44002, None, "The body is empty; has a file been read already?", _COMMON),
    Row(
        _A,
        45009,
        None,
        "This API's calls of today are used up; see the console at mp.weixin.qq.com, or reset them (clear_quota).",
        _LIMITS,
    ),
    Row(_A, 45011, None, "Too many calls in this minute; wait for the next.", _LOGIN),
    Row(_A, 45015, None, "The user wrote too long ago: WeChat lets an account answer for a limited time.", _CODES),
    Row(_A, 45047, None, "Too many messages since the user wrote last.", _MESSAGES),
    Row(_A, 47001, None, "Send JSON, with the non-ASCII characters as they are, in UTF-8.", _COMMON),
    Row(
        _A,
        47003,
        None,
        "A value of the template's data is empty or does not fit its kind (thing: 20 characters, number, date …); "
        "WeChat's text names the field.",
        _SUBSCRIBE,
    ),
    Row(_A, 48001, None, "This account may not use this API; see its permissions at mp.weixin.qq.com.", _TROUBLES),
    Row(_A, 48004, None, "WeChat blocks this API for the account; its owner sees why at mp.weixin.qq.com.", _CODES),
    Row(_A, 50002, None, "The account is limited; its owner sees why at mp.weixin.qq.com.", _COMMON),
    Row(_A, 61003, None, f"The account has not authorised this platform, or not any more. {_AGAIN}", _TROUBLES),
    Row(_A, 61004, None, "Add {ip} to the platform's IP allowlist (IP白名单) at open.weixin.qq.com.", _COMPONENT),
    Row(
        _A,
        61007,
        None,
        "The account's owner has not granted the permission set (权限集) of this API to the platform. Add it to the "
        "platform at open.weixin.qq.com, then have the account authorise again.",
        _TROUBLES,
    ),
    Row(_A, 87014, None, "WeChat finds the content risky: do not publish it. It is no fault of the call.", _CHECK),
    Row(_J, -1, _TRANSIENT, "WeChat is busy.", _CODES),
    Row(_J, 40001, _TRANSIENT, _REJECTED, _JSSDK),
    Row(_J, 40014, _TRANSIENT, _REJECTED, _CODES),
    Row(_J, 42001, _TRANSIENT, _REJECTED, _CODES),
    Row(_J, 45009, _QUOTA, "The day's quota of ticket fetches is used up; see who else fetches.", _JSSDK),
    Row(_J, 45011, _TRANSIENT, "Too many requests in this minute.", _CODES),
    Row(_J, 48001, _PERMANENT, "This account may not use this API.", _TROUBLES),
    Row(
        _J,
        48004,
        _PERMANENT,
        "WeChat blocks this API for the account; its owner sees why at mp.weixin.qq.com.",
        _CODES,
    ),
    Row(_J, 50002, _PERMANENT, "The account is limited; its owner sees why at mp.weixin.qq.com.", _COMMON),
    Row(
        _J,
        61007,
        _PERMANENT,
        "The account's owner did not grant this to the platform; ask for authorisation again.",
        _TROUBLES,
    ),
    Row(_P, -1, _TRANSIENT, "WeChat is busy.", _COMPONENT),
    Row(_P, 40001, _PERMANENT, _PLATFORM_SECRET, _COMPONENT),
    Row(_P, 40013, _PERMANENT, "Check the platform's AppID: WeChat does not know it.", _COMPONENT),
    Row(_P, 40125, _PERMANENT, _PLATFORM_SECRET, _COMPONENT),
    Row(
        _P,
        41018,
        _PERMANENT,
        "The platform's AppID did not arrive; check what stands between you and WeChat.",
        _REPORTED,
    ),
    Row(_P, 45009, _QUOTA, "The day's quota is used up.", _LIMITS),
    Row(_P, 45011, _TRANSIENT, "Too many requests in this minute.", _CODES),
    Row(_P, 61004, _PERMANENT, "Add {ip} to the platform's IP allowlist (IP白名单) at open.weixin.qq.com.", _COMPONENT),
    Row(
        _P,
        61005,
        _TRANSIENT,
        "The component_verify_ticket is too old; WeChat pushes a new one every ten minutes.",
        _COMPONENT,
    ),
    Row(
        _P,
        61006,
        _TRANSIENT,
        "The component_verify_ticket is wrong; WeChat pushes a new one every ten minutes.",
        _COMPONENT,
    ),
    Row(_P, 61010, _PERMANENT, f"The auth_code is too old, or was used before. {_AGAIN}", _CODES),
    Row(_P, 61011, _PERMANENT, "Check the platform's AppID: WeChat does not know it.", _COMPONENT),
    Row(_U, 40001, _TRANSIENT, _COMPONENT_REJECTED, _AUTHORIZER_PAGE),
    Row(_U, 40014, _TRANSIENT, _COMPONENT_REJECTED, _AUTHORIZER_PAGE),
    Row(_U, 42001, _TRANSIENT, _COMPONENT_REJECTED, _AUTHORIZER_PAGE),
    Row(
        _U,
        61003,
        _PERMANENT,
        f"The account has not authorised this platform, or not any more. {_AGAIN}",
        _AUTHORIZER_PAGE,
    ),
    Row(
        _U, 61023, _PERMANENT, f"The refresh token is void, and WeChat's list has no other. {_AGAIN}", _AUTHORIZER_PAGE
    ),
    Row(_W, -1, _TRANSIENT, "WeCom is busy.", _WECOM_CODES),
    Row(_W, 40001, _PERMANENT, f"Check {_WECOM_SECRET}", _WECOM_CODES),
    Row(_W, 40013, _PERMANENT, "Check the CorpID: WeCom does not know it.", _WECOM_TOKEN),
    Row(_W, 41002, _PERMANENT, "The CorpID did not arrive; check what stands between you and WeCom.", _WECOM_CODES),
    Row(_W, 41004, _PERMANENT, "The secret did not arrive; check what stands between you and WeCom.", _WECOM_CODES),
    Row(_W, 45009, _QUOTA, "Too many requests; WeCom blocks for a minute, or for an hour.", _WECOM_LIMITS),
    Row(_W, 45033, _TRANSIENT, "Too many requests at a time.", _WECOM_CODES),
    Row(_W, 48002, _PERMANENT, "This app may not use this API.", _WECOM_CODES),
    Row(_W, 50003, _PERMANENT, "The app is disabled.", _WECOM_CODES),
    Row(_W, 60020, _PERMANENT, _ALLOW_AT_WECOM, _WECOM_IP),
    Row(_V, -1, None, "WeCom is busy; try again in a moment, three times at most.", _WECOM_CODES),
    Row(
        _V,
        40001,
        None,
        f"A wrong secret at WeCom, which no new token cures, so the call is not repeated. Check {_WECOM_SECRET}",
        _WECOM_CODES,
    ),
    Row(_V, 40003, None, "Check the userid: this corp has no such member.", _WECOM_CODES),
    Row(_V, 40007, None, "Check the media_id: temporary media last three days, and belong to one corp.", _WECOM_CODES),
    Row(_V, 40014, None, _REJECTED_AGAIN, _WECOM_CODES),
    Row(_V, 40056, None, "Check the agentid: the corp has no such app.", _WECOM_CODES),
    Row(_V, 40096, None, "Check the external_userid: it is wrong, or not one of this corp's contacts.", _WECOM_CODES),
    Row(_V, 41001, None, "There is no access_token in the URL; WeCom reads it nowhere else.", _WECOM_CODES),
    Row(_V, 42001, None, _REJECTED_AGAIN, _WECOM_CODES),
    Row(
        _V,
        45009,
        None,
        "Too many calls of this API: WeCom blocks it for a minute, or for an hour after the limit of an hour. Wait, "
        "and call less often; there is nothing that resets it.",
        _WECOM_LIMITS,
    ),
    Row(_V, 45033, None, "Too many calls at a time; make fewer of them in parallel.", _WECOM_CODES),
    Row(
        _V,
        48002,
        None,
        "The app whose secret this token is of may not use this API; see its permissions, or take the right secret.",
        _WECOM_CODES,
    ),
    Row(_V, 50003, None, "The app is disabled; enable it at work.weixin.qq.com.", _WECOM_CODES),
    Row(
        _V,
        60011,
        None,
        "The app may not see this member, department or tag; extend its visible range (可见范围) on its page.",
        _WECOM_CODES,
    ),
    Row(_V, 60020, None, _ALLOW_AT_WECOM, _WECOM_IP),
    Row(_V, 60111, None, "Check the userid: this corp has no such member.", _WECOM_CODES),
    Row(
        _V,
        81013,
        None,
        "None of the receivers can be reached: all are unknown, or outside the app's visible range (可见范围).",
        _WECOM_CODES,
    ),
    Row(_V, 84061, None, "This user is no contact of that member.", _WECOM_CODES),
    Row(_V, 301002, None, "The agentid is not that of the app whose secret this token is of.", _WECOM_CODES),
)


def advice_at(place: Place) -> dict[int, str]:
    """Get the advice for each errcode of a place."""
    return {row.errcode: row.advice for row in ROWS if row.place is place}


def causes_at(place: Place) -> dict[int, tuple[Cause, str]]:
    """Get what each errcode means for the next fetch, with its advice; of a place where something is fetched."""
    return {row.errcode: (row.cause, row.advice) for row in ROWS if row.place is place and row.cause is not None}
