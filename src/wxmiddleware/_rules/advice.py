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

__all__ = ["ROWS", "Place", "Row", "Words", "advice_at", "causes_at", "words_at"]


class Place(Enum):
    """The kind of endpoint that answered with an errcode: the same number differs between them."""

    TOKEN = "the token endpoints of WeChat"  # noqa: S105 - no password
    API = "an API of WeChat"
    TICKET = "WeChat's endpoint of tickets"
    PLATFORM = "the endpoints of a third-party platform"
    AUTHORIZER = "the token endpoint of an account that authorised a platform"
    WECOM_TOKEN = "the token endpoint of WeCom"  # noqa: S105 - no password
    WECOM = "an API of WeCom"
    SUITE = "the endpoints of a suite of WeCom"


class Words(NamedTuple):
    """
    An advice in both languages.

    Attributes:
        en: In English, as in errors and logs.
        zh: In Chinese, with the words of WeChat's own pages.
    """

    en: str
    zh: str


class Row(NamedTuple):
    """
    One errcode.

    Attributes:
        place: Where it was answered.
        errcode: The number.
        cause: What it means for the next fetch; ``None`` where nothing is fetched.
        words: What it means and what to do, for a person.
        source: The page that says so.
    """

    place: Place
    errcode: int
    cause: Cause | None
    words: Words
    source: str

    @property
    def advice(self) -> str:
        """The advice in English, as errors and logs have it."""
        return self.words.en


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
_SUITE_TOKEN: Final = f"{_WECOM_PAGES}/90600"
_REPORTED: Final = "reported by developers; on no page of WeChat's"

_TRANSIENT, _PERMANENT, _QUOTA = Cause.TRANSIENT, Cause.PERMANENT, Cause.QUOTA
_CHECK_SECRET: Final = Words(
    "Check the AppSecret: it is wrong, was reset, or belongs to another account.",
    "检查开发者密码(AppSecret)：填错了、被重置过，或是另一个账号的。",
)
_ALLOW: Final = Words(
    "Add {ip} to the account's IP allowlist (IP白名单) at mp.weixin.qq.com.",
    "请在 mp.weixin.qq.com 把 {ip} 加入该账号的IP白名单。",
)
_ALLOW_AT_WECOM: Final = Words(
    "Add {ip} to the app's trusted IPs (企业可信IP) on the app's page at work.weixin.qq.com; that takes about a "
    "minute. For an app of a provider (服务商) it is the provider's IP allowlist (IP白名单), in its basic "
    "information.",
    "请在 work.weixin.qq.com 的应用页面把 {ip} 加入企业可信IP，约一分钟后生效。如果是服务商的应用，则加入服务商基本"
    "信息里的IP白名单。",
)
_CORP_AGAIN: Final = Words(
    "The corp's admin has to authorise the suite again; of a developed app, fetch its secret again at WeCom's console.",
    "需要企业管理员重新授权；代开发应用则在服务商后台重新获取 Secret。",
)
_SUITE_REJECTED: Final = Words(
    "The suite_access_token was rejected, and so was a newer one. WeCom has also said so while no corp had authorised.",
    "suite_access_token 被拒，换了新的也被拒。还没有企业授权时，企业微信也可能这样返回。",
)
_WECOM_SECRET: Final = Words(
    "the secret: it is wrong, was reset, is another corp's, or its app is disabled.",
    "Secret：填错了、被重置过、是另一个企业的，或应用已停用。",
)
_REJECTED: Final = Words(
    "The access token was rejected, and so was a newer one: it may be of another kind.",
    "access_token 被拒，换了新的也被拒：可能不是这一种 token。",
)
_COMPONENT_REJECTED: Final = Words(
    "The component_access_token was rejected, and so was a newer one.", "component_access_token 被拒，换了新的也被拒。"
)
_AGAIN: Final = Words("Its owner has to authorise the platform again.", "请让账号管理员重新授权第三方平台。")
_PLATFORM_SECRET: Final = Words(
    "Check the platform's AppSecret: it is wrong or was reset.", "检查第三方平台的 AppSecret：填错了，或被重置过。"
)
# Of a token that an API rejected, after all that could be done.
_REJECTED_AGAIN: Final = Words(
    "The token was rejected. WeChatAuth and with_token refresh it and call once more; what you see is the answer "
    "to that, or there was no new token, or no second call was possible. See the log of wxmiddleware.",
    "token 被拒。WeChatAuth 和 with_token 会刷新并重试一次；你看到的是重试的结果，或者没有新 token，或者无法重试。"
    "详见 wxmiddleware 的日志。",
)

_T, _A, _J, _P, _U = Place.TOKEN, Place.API, Place.TICKET, Place.PLATFORM, Place.AUTHORIZER
_W, _V, _S = Place.WECOM_TOKEN, Place.WECOM, Place.SUITE

ROWS: Final[tuple[Row, ...]] = (
    Row(_T, -1, _TRANSIENT, Words("WeChat is busy.", "微信系统繁忙。"), _STABLE),
    Row(
        _T,
        -1000,
        _TRANSIENT,
        Words(
            "WeChat is busy, or the account has no IP allowlist (IP白名单) at all; check that it has one.",
            "微信系统繁忙，或者该账号根本没有设置IP白名单；请确认已经设置。",
        ),
        _REPORTED,
    ),
    Row(_T, 40001, _PERMANENT, _CHECK_SECRET, _TOKEN_PAGE),
    Row(
        _T,
        40002,
        _PERMANENT,
        Words(
            "grant_type must be client_credential; check what stands between you and WeChat.",
            "grant_type 必须是 client_credential；检查与微信之间的代理或网关。",
        ),
        _STABLE,
    ),
    Row(
        _T,
        40013,
        _PERMANENT,
        Words("Check the AppID: WeChat does not know it.", "检查开发者ID(AppID)：微信不认识它。"),
        _STABLE,
    ),
    Row(_T, 40125, _PERMANENT, _CHECK_SECRET, _STABLE),
    Row(_T, 40164, _PERMANENT, _ALLOW, _STABLE),
    Row(
        _T,
        40243,
        _PERMANENT,
        Words(
            "The AppSecret is frozen: its owner can unfreeze it at mp.weixin.qq.com.",
            "开发者密码(AppSecret)已被冻结：账号管理员可在 mp.weixin.qq.com 解冻。",
        ),
        _TOKEN_PAGE,
    ),
    Row(
        _T,
        41002,
        _PERMANENT,
        Words(
            "The AppID did not arrive; check what stands between you and WeChat.",
            "微信没有收到 AppID；检查与微信之间的代理或网关。",
        ),
        _STABLE,
    ),
    Row(
        _T,
        41004,
        _PERMANENT,
        Words(
            "The AppSecret did not arrive; check what stands between you and WeChat.",
            "微信没有收到 AppSecret；检查与微信之间的代理或网关。",
        ),
        _STABLE,
    ),
    Row(
        _T,
        43002,
        _PERMANENT,
        Words(
            "The request arrived as a GET; check what stands between you and WeChat.",
            "请求到达时变成了 GET；检查与微信之间的代理或网关。",
        ),
        _STABLE,
    ),
    Row(
        _T,
        45009,
        _QUOTA,
        Words(
            "The day's quota of token fetches is used up; see who else fetches, or reset it (clear_quota).",
            "当天获取 token 的次数用完了；查一查还有谁在获取，或清零（clear_quota）。",
        ),
        _LIMITS,
    ),
    Row(
        _T, 45011, _TRANSIENT, Words("Too many token fetches in this minute.", "这一分钟内获取 token 太频繁。"), _STABLE
    ),
    Row(_T, 48001, _PERMANENT, Words("This account may not use this API.", "该账号没有这个接口的权限。"), _TROUBLES),
    Row(
        _T,
        50002,
        _PERMANENT,
        Words(
            "The account is limited; its owner sees why at mp.weixin.qq.com.",
            "账号受限；账号管理员可在 mp.weixin.qq.com 查看原因。",
        ),
        _COMMON,
    ),
    Row(
        _T,
        50004,
        _PERMANENT,
        Words(
            "WeChat forbids this account to use access tokens; ask its owner to appeal.",
            "微信禁止该账号使用 access_token；请账号管理员申诉。",
        ),
        _TOKEN_PAGE,
    ),
    Row(
        _T,
        50007,
        _PERMANENT,
        Words(
            "The account is frozen; its owner sees why at mp.weixin.qq.com.",
            "账号已被冻结；账号管理员可在 mp.weixin.qq.com 查看原因。",
        ),
        _TOKEN_PAGE,
    ),
    Row(
        _T,
        61024,
        _PERMANENT,
        Words(
            "This is a third-party platform: it has to use api_component_token.",
            "这是第三方平台：要用 api_component_token。",
        ),
        _CODES,
    ),
    Row(
        _T,
        89501,
        _PERMANENT,
        Words(
            "The account's administrator has been asked to allow this IP and has not answered yet.",
            "微信已请账号管理员确认这个 IP，管理员还没有答复。",
        ),
        _RISK,
    ),
    Row(
        _T,
        89503,
        _PERMANENT,
        Words(
            "The account's administrator has to allow this IP, in the message WeChat has just sent.",
            "请账号管理员在微信刚发出的消息里确认这个 IP。",
        ),
        _STABLE,
    ),
    Row(
        _T,
        89506,
        _PERMANENT,
        Words(
            "The administrator refused this IP twice: it is blocked for 24 hours.",
            "管理员两次拒绝了这个 IP：24 小时内不能再用。",
        ),
        _STABLE,
    ),
    Row(
        _T,
        89507,
        _PERMANENT,
        Words(
            "The administrator refused this IP: it is blocked for an hour.", "管理员拒绝了这个 IP：1 小时内不能再用。"
        ),
        _STABLE,
    ),
    Row(_A, -1, None, Words("WeChat is busy; try again in a moment.", "微信系统繁忙；请稍后再试。"), _CODES),
    Row(_A, 40001, None, _REJECTED_AGAIN, _CODES),
    Row(
        _A,
        40003,
        None,
        Words("Check the openid: it is not one of this account's users.", "检查 openid：不是该账号的用户。"),
        _CODES,
    ),
    Row(
        _A,
        40007,
        None,
        Words(
            "Check the media_id: temporary media last three days, and belong to one account.",
            "检查 media_id：临时素材有效期三天，且只属于一个账号。",
        ),
        _CODES,
    ),
    Row(
        _A,
        40013,
        None,
        Words(
            "Check the AppID: WeChat does not know it, or it is not the token's own.",
            "检查 AppID：微信不认识它，或者它与 token 不是同一个账号。",
        ),
        _CODES,
    ),
    Row(_A, 40014, None, _REJECTED_AGAIN, _CODES),
    Row(
        _A,
        40029,
        None,
        Words(
            "The code is wrong, older than five minutes, or of another account; have the user log in again.",
            "code 有误、超过了五分钟，或是另一个账号的；请让用户重新登录。",
        ),
        _LOGIN,
    ),
    Row(
        _A,
        40037,
        None,
        Words(
            "Check the template's id: it is not one of this account's, or was deleted at mp.weixin.qq.com.",
            "检查模板 ID：不是该账号的，或已在 mp.weixin.qq.com 删除。",
        ),
        _SUBSCRIBE,
    ),
    Row(
        _A,
        40066,
        None,
        Words(
            "Check the path of the URL; for a mini program's code also that it has a released version.",
            "检查 URL 的路径；如果是小程序码，还要看小程序是否有已发布的版本。",
        ),
        _COMMON,
    ),
    Row(
        _A,
        40097,
        None,
        Words("A parameter is missing or wrong; see the page of this API.", "缺少参数或参数有误；见该接口的文档。"),
        _QR_CODE,
    ),
    Row(_A, 40125, None, _CHECK_SECRET, _CODES),
    Row(
        _A,
        40163,
        None,
        Words(
            "The code has been used before: each is good for one call. Does a page load twice, or a retry send it "
            "again?",
            "code 已被使用过：每个只能用一次。是不是页面加载了两次，或重试时又发了一遍？",
        ),
        _OAUTH,
    ),
    Row(_A, 40164, None, _ALLOW, _CODES),
    Row(
        _A,
        40226,
        None,
        Words(
            "WeChat holds this user for a risk and does not let the login through.",
            "微信判定该用户有风险，不放行登录。",
        ),
        _LOGIN,
    ),
    Row(
        _A,
        41001,
        None,
        Words(
            "There is no access_token in the URL. If WeChatAuth was to add it, see that the URL is on the "
            "account's base_url or in hosts=, and that no redirect stands between.",
            "URL 里没有 access_token。如果应由 WeChatAuth 加上，请确认 URL 属于账号的 base_url 或在 hosts= 里，且中"
            "间没有重定向。",
        ),
        _CODES,
    ),
    Row(
        _A,
        41030,
        None,
        Words(
            "Check the page: it has to be in the released version of the mini program, without a / in front and "
            "without parameters. For a version that is not released say check_path=false and env_version.",
            "检查 page：必须在已发布的小程序里，前面不带 /，也不带参数。未发布的版本请加 check_path=false 和 "
            "env_version。",
        ),
        _QR_CODE,
    ),
    Row(_A, 42001, None, _REJECTED_AGAIN, _CODES),
    Row(_A, 43002, None, Words("This API wants a POST.", "这个接口要用 POST。"), _CODES),
    Row(_A, 43003, None, Words("Write https:// in the URL.", "URL 要写 https://。"), _COMMON),
    Row(_A, 43004, None, Words("The user does not follow this account.", "用户没有关注该账号。"), _CODES),
    Row(
        _A,
        43101,
        None,
        Words(
            "The user has not agreed to this message, or has used up the agreement: each is good for one message. "
            "Ask for it in the mini program (wx.requestSubscribeMessage).",
            "用户没有订阅这条消息，或订阅次数已用完：每次订阅只能发一条。请在小程序里请求订阅（"
            "wx.requestSubscribeMessage）。",
        ),
        _SUBSCRIBE,
    ),
    Row(
        _A,
        44002,
        None,
        Words("The body is empty; has a file been read already?", "请求体为空；文件是不是已经读过一遍了？"),
        _COMMON,
    ),
    Row(
        _A,
        45009,
        None,
        Words(
            "This API's calls of today are used up; see the console at mp.weixin.qq.com, or reset them (clear_quota).",
            "这个接口当天的调用次数用完了；见 mp.weixin.qq.com 的接口权限页，或清零（clear_quota）。",
        ),
        _LIMITS,
    ),
    Row(
        _A,
        45011,
        None,
        Words("Too many calls in this minute; wait for the next.", "这一分钟内调用太频繁；请等下一分钟。"),
        _LOGIN,
    ),
    Row(
        _A,
        45015,
        None,
        Words(
            "The user wrote too long ago: WeChat lets an account answer for a limited time.",
            "用户上次发消息已经太久：微信只允许在一段时间内回复。",
        ),
        _CODES,
    ),
    Row(
        _A,
        45047,
        None,
        Words("Too many messages since the user wrote last.", "自用户上次发消息以来，回复的条数超过了上限。"),
        _MESSAGES,
    ),
    Row(
        _A,
        47001,
        None,
        Words(
            "Send JSON, with the non-ASCII characters as they are, in UTF-8.",
            "请发 JSON，中文等字符按 UTF-8 原样写，不要转义。",
        ),
        _COMMON,
    ),
    Row(
        _A,
        47003,
        None,
        Words(
            "A value of the template's data is empty or does not fit its kind (thing: 20 characters, number, date …"
            "); WeChat's text names the field.",
            "模板的某个数据为空，或不符合它的类型（thing：20 个字符、number、date……）；微信的报错里有字段名。",
        ),
        _SUBSCRIBE,
    ),
    Row(
        _A,
        48001,
        None,
        Words(
            "This account may not use this API; see its permissions at mp.weixin.qq.com.",
            "该账号没有这个接口的权限；见 mp.weixin.qq.com 的接口权限页。",
        ),
        _TROUBLES,
    ),
    Row(
        _A,
        48004,
        None,
        Words(
            "WeChat blocks this API for the account; its owner sees why at mp.weixin.qq.com.",
            "该账号的这个接口被微信封禁；账号管理员可在 mp.weixin.qq.com 查看原因。",
        ),
        _CODES,
    ),
    Row(
        _A,
        50002,
        None,
        Words(
            "The account is limited; its owner sees why at mp.weixin.qq.com.",
            "账号受限；账号管理员可在 mp.weixin.qq.com 查看原因。",
        ),
        _COMMON,
    ),
    Row(
        _A,
        61003,
        None,
        Words(
            f"The account has not authorised this platform, or not any more. {_AGAIN.en}",
            f"账号没有授权给这个第三方平台，或已取消授权。{_AGAIN.zh}",
        ),
        _TROUBLES,
    ),
    Row(
        _A,
        61004,
        None,
        Words(
            "Add {ip} to the platform's IP allowlist (IP白名单) at open.weixin.qq.com.",
            "请在 open.weixin.qq.com 把 {ip} 加入该第三方平台的IP白名单。",
        ),
        _COMPONENT,
    ),
    Row(
        _A,
        61007,
        None,
        Words(
            "The account's owner has not granted the permission set (权限集) of this API to the platform. Add it "
            "to the platform at open.weixin.qq.com, then have the account authorise again.",
            "账号没有把这个接口的权限集授权给第三方平台。请先在 open.weixin.qq.com 给平台加上该权限集，再让账号重新"
            "授权。",
        ),
        _TROUBLES,
    ),
    Row(
        _A,
        87014,
        None,
        Words(
            "WeChat finds the content risky: do not publish it. It is no fault of the call.",
            "微信认为内容有风险：不要发布。调用本身没有问题。",
        ),
        _CHECK,
    ),
    Row(_J, -1, _TRANSIENT, Words("WeChat is busy.", "微信系统繁忙。"), _CODES),
    Row(_J, 40001, _TRANSIENT, _REJECTED, _JSSDK),
    Row(_J, 40014, _TRANSIENT, _REJECTED, _CODES),
    Row(_J, 42001, _TRANSIENT, _REJECTED, _CODES),
    Row(
        _J,
        45009,
        _QUOTA,
        Words(
            "The day's quota of ticket fetches is used up; see who else fetches.",
            "当天获取 ticket 的次数用完了；查一查还有谁在获取。",
        ),
        _JSSDK,
    ),
    Row(_J, 45011, _TRANSIENT, Words("Too many requests in this minute.", "这一分钟内请求太频繁。"), _CODES),
    Row(_J, 48001, _PERMANENT, Words("This account may not use this API.", "该账号没有这个接口的权限。"), _TROUBLES),
    Row(
        _J,
        48004,
        _PERMANENT,
        Words(
            "WeChat blocks this API for the account; its owner sees why at mp.weixin.qq.com.",
            "该账号的这个接口被微信封禁；账号管理员可在 mp.weixin.qq.com 查看原因。",
        ),
        _CODES,
    ),
    Row(
        _J,
        50002,
        _PERMANENT,
        Words(
            "The account is limited; its owner sees why at mp.weixin.qq.com.",
            "账号受限；账号管理员可在 mp.weixin.qq.com 查看原因。",
        ),
        _COMMON,
    ),
    Row(
        _J,
        61007,
        _PERMANENT,
        Words(
            "The account's owner did not grant this to the platform; ask for authorisation again.",
            "账号没有把这项权限授权给第三方平台；请重新授权。",
        ),
        _TROUBLES,
    ),
    Row(_P, -1, _TRANSIENT, Words("WeChat is busy.", "微信系统繁忙。"), _COMPONENT),
    Row(_P, 40001, _PERMANENT, _PLATFORM_SECRET, _COMPONENT),
    Row(
        _P,
        40013,
        _PERMANENT,
        Words("Check the platform's AppID: WeChat does not know it.", "检查第三方平台的 AppID：微信不认识它。"),
        _COMPONENT,
    ),
    Row(_P, 40125, _PERMANENT, _PLATFORM_SECRET, _COMPONENT),
    Row(
        _P,
        41018,
        _PERMANENT,
        Words(
            "The platform's AppID did not arrive; check what stands between you and WeChat.",
            "微信没有收到第三方平台的 AppID；检查与微信之间的代理或网关。",
        ),
        _REPORTED,
    ),
    Row(_P, 45009, _QUOTA, Words("The day's quota is used up.", "当天的次数用完了。"), _LIMITS),
    Row(_P, 45011, _TRANSIENT, Words("Too many requests in this minute.", "这一分钟内请求太频繁。"), _CODES),
    Row(
        _P,
        61004,
        _PERMANENT,
        Words(
            "Add {ip} to the platform's IP allowlist (IP白名单) at open.weixin.qq.com.",
            "请在 open.weixin.qq.com 把 {ip} 加入该第三方平台的IP白名单。",
        ),
        _COMPONENT,
    ),
    Row(
        _P,
        61005,
        _TRANSIENT,
        Words(
            "The component_verify_ticket is too old; WeChat pushes a new one every ten minutes.",
            "component_verify_ticket 太旧了；微信每十分钟推送一次新的。",
        ),
        _COMPONENT,
    ),
    Row(
        _P,
        61006,
        _TRANSIENT,
        Words(
            "The component_verify_ticket is wrong; WeChat pushes a new one every ten minutes.",
            "component_verify_ticket 不对；微信每十分钟推送一次新的。",
        ),
        _COMPONENT,
    ),
    Row(
        _P,
        61010,
        _PERMANENT,
        Words(
            f"The auth_code is too old, or was used before. {_AGAIN.en}", f"auth_code 已过期，或已被使用过。{_AGAIN.zh}"
        ),
        _CODES,
    ),
    Row(
        _P,
        61011,
        _PERMANENT,
        Words("Check the platform's AppID: WeChat does not know it.", "检查第三方平台的 AppID：微信不认识它。"),
        _COMPONENT,
    ),
    Row(_U, 40001, _TRANSIENT, _COMPONENT_REJECTED, _AUTHORIZER_PAGE),
    Row(_U, 40014, _TRANSIENT, _COMPONENT_REJECTED, _AUTHORIZER_PAGE),
    Row(_U, 42001, _TRANSIENT, _COMPONENT_REJECTED, _AUTHORIZER_PAGE),
    Row(
        _U,
        61003,
        _PERMANENT,
        Words(
            f"The account has not authorised this platform, or not any more. {_AGAIN.en}",
            f"账号没有授权给这个第三方平台，或已取消授权。{_AGAIN.zh}",
        ),
        _AUTHORIZER_PAGE,
    ),
    Row(
        _U,
        61023,
        _PERMANENT,
        Words(
            f"The refresh token is void, and WeChat's list has no other. {_AGAIN.en}",
            f"refresh_token 已失效，微信的列表里也没有新的。{_AGAIN.zh}",
        ),
        _AUTHORIZER_PAGE,
    ),
    Row(_W, -1, _TRANSIENT, Words("WeCom is busy.", "企业微信系统繁忙。"), _WECOM_CODES),
    Row(_W, 40001, _PERMANENT, Words(f"Check {_WECOM_SECRET.en}", f"检查 {_WECOM_SECRET.zh}"), _WECOM_CODES),
    Row(
        _W,
        40013,
        _PERMANENT,
        Words("Check the CorpID: WeCom does not know it.", "检查企业ID(CorpID)：企业微信不认识它。"),
        _WECOM_TOKEN,
    ),
    Row(
        _W,
        41002,
        _PERMANENT,
        Words(
            "The CorpID did not arrive; check what stands between you and WeCom.",
            "企业微信没有收到 CorpID；检查与企业微信之间的代理或网关。",
        ),
        _WECOM_CODES,
    ),
    Row(
        _W,
        41004,
        _PERMANENT,
        Words(
            "The secret did not arrive; check what stands between you and WeCom.",
            "企业微信没有收到 Secret；检查与企业微信之间的代理或网关。",
        ),
        _WECOM_CODES,
    ),
    Row(
        _W,
        45009,
        _QUOTA,
        Words(
            "Too many requests; WeCom blocks for a minute, or for an hour.",
            "请求太频繁；企业微信会封禁一分钟或一小时。",
        ),
        _WECOM_LIMITS,
    ),
    Row(_W, 45033, _TRANSIENT, Words("Too many requests at a time.", "并发请求太多。"), _WECOM_CODES),
    Row(_W, 48002, _PERMANENT, Words("This app may not use this API.", "该应用没有这个接口的权限。"), _WECOM_CODES),
    Row(_W, 50003, _PERMANENT, Words("The app is disabled.", "该应用已停用。"), _WECOM_CODES),
    Row(_W, 60020, _PERMANENT, _ALLOW_AT_WECOM, _WECOM_IP),
    Row(
        _V,
        -1,
        None,
        Words("WeCom is busy; try again in a moment, three times at most.", "企业微信系统繁忙；请稍后再试，最多三次。"),
        _WECOM_CODES,
    ),
    Row(
        _V,
        40001,
        None,
        Words(
            f"A wrong secret at WeCom, which no new token cures, so the call is not repeated. Check {_WECOM_SECRET.en}",
            f"企业微信的 40001 是 Secret 有误，换 token 无济于事，因此不重试。检查 {_WECOM_SECRET.zh}",
        ),
        _WECOM_CODES,
    ),
    Row(
        _V,
        40003,
        None,
        Words("Check the userid: this corp has no such member.", "检查 userid：企业里没有这个成员。"),
        _WECOM_CODES,
    ),
    Row(
        _V,
        40007,
        None,
        Words(
            "Check the media_id: temporary media last three days, and belong to one corp.",
            "检查 media_id：临时素材有效期三天，且只属于一个企业。",
        ),
        _WECOM_CODES,
    ),
    Row(_V, 40014, None, _REJECTED_AGAIN, _WECOM_CODES),
    Row(
        _V,
        40056,
        None,
        Words("Check the agentid: the corp has no such app.", "检查 agentid：企业里没有这个应用。"),
        _WECOM_CODES,
    ),
    Row(
        _V,
        40096,
        None,
        Words(
            "Check the external_userid: it is wrong, or not one of this corp's contacts.",
            "检查 external_userid：填错了，或不是本企业的外部联系人。",
        ),
        _WECOM_CODES,
    ),
    Row(
        _V,
        41001,
        None,
        Words(
            "There is no access_token in the URL; WeCom reads it nowhere else.",
            "URL 里没有 access_token；企业微信只从 URL 里读它。",
        ),
        _WECOM_CODES,
    ),
    Row(_V, 42001, None, _REJECTED_AGAIN, _WECOM_CODES),
    Row(
        _V,
        45009,
        None,
        Words(
            "Too many calls of this API: WeCom blocks it for a minute, or for an hour after the limit of an hour. "
            "Wait, and call less often; there is nothing that resets it.",
            "这个接口调用太频繁：企业微信会封禁一分钟；超过小时上限则封禁一小时。请等待并降低频率；没有清零的办法。",
        ),
        _WECOM_LIMITS,
    ),
    Row(
        _V,
        45033,
        None,
        Words("Too many calls at a time; make fewer of them in parallel.", "并发调用太多；请减少并发。"),
        _WECOM_CODES,
    ),
    Row(
        _V,
        48002,
        None,
        Words(
            "The app whose secret this token is of may not use this API; see its permissions, or take the right "
            "secret.",
            "这个 token 所属的应用没有这个接口的权限；请检查应用权限，或换用正确的 Secret。",
        ),
        _WECOM_CODES,
    ),
    Row(
        _V,
        50003,
        None,
        Words("The app is disabled; enable it at work.weixin.qq.com.", "该应用已停用；请在 work.weixin.qq.com 启用。"),
        _WECOM_CODES,
    ),
    Row(
        _V,
        60011,
        None,
        Words(
            "The app may not see this member, department or tag; extend its visible range (可见范围) on its page.",
            "该成员、部门或标签不在应用的可见范围内；请在应用页面扩大可见范围。",
        ),
        _WECOM_CODES,
    ),
    Row(_V, 60020, None, _ALLOW_AT_WECOM, _WECOM_IP),
    Row(
        _V,
        60111,
        None,
        Words("Check the userid: this corp has no such member.", "检查 userid：企业里没有这个成员。"),
        _WECOM_CODES,
    ),
    Row(
        _V,
        81013,
        None,
        Words(
            "None of the receivers can be reached: all are unknown, or outside the app's visible range (可见范围).",
            "所有接收人都无效：不存在，或不在应用的可见范围内。",
        ),
        _WECOM_CODES,
    ),
    Row(
        _V,
        84061,
        None,
        Words("This user is no contact of that member.", "该用户不是那个成员的外部联系人。"),
        _WECOM_CODES,
    ),
    Row(
        _V,
        301002,
        None,
        Words(
            "The agentid is not that of the app whose secret this token is of.",
            "agentid 与这个 token 所属的应用不一致。",
        ),
        _WECOM_CODES,
    ),
    Row(_S, -1, _TRANSIENT, Words("WeCom is busy.", "企业微信系统繁忙。"), _WECOM_CODES),
    Row(
        _S,
        40013,
        _PERMANENT,
        Words(
            "Check the corp's id: WeCom does not know it; capitals count.",
            "检查企业 ID：企业微信不认识它；区分大小写。",
        ),
        _WECOM_CODES,
    ),
    Row(_S, 40014, _TRANSIENT, _SUITE_REJECTED, _WECOM_CODES),
    Row(
        _S,
        40058,
        _PERMANENT,
        Words("The auth_code is none: one has 64 to 512 bytes.", "auth_code 不对：应为 64 到 512 字节。"),
        _WECOM_CODES,
    ),
    Row(
        _S,
        40077,
        _TRANSIENT,
        Words("The pre_auth_code is wrong: make another link.", "pre_auth_code 无效：重新生成授权链接。"),
        _WECOM_CODES,
    ),
    Row(
        _S,
        40078,
        _PERMANENT,
        Words(
            f"The auth_code is too old, or was used before. {_CORP_AGAIN.en}",
            f"auth_code 已过期或已用过。{_CORP_AGAIN.zh}",
        ),
        _WECOM_CODES,
    ),
    Row(
        _S,
        40080,
        _PERMANENT,
        Words("Check the suite_secret: it is wrong or was reset.", "检查 suite_secret：有误，或已重置。"),
        _SUITE_TOKEN,
    ),
    Row(_S, 40082, _TRANSIENT, _SUITE_REJECTED, _WECOM_CODES),
    Row(
        _S,
        40083,
        _PERMANENT,
        Words("Check the suite id: WeCom does not know it.", "检查 suite_id：企业微信不认识它。"),
        _SUITE_TOKEN,
    ),
    Row(
        _S,
        40084,
        _PERMANENT,
        Words(
            f"The permanent code is dead: the corp has cancelled, or it is another suite's. {_CORP_AGAIN.en}",
            f"永久授权码已失效：企业已取消授权，或者它属于另一个应用。{_CORP_AGAIN.zh}",
        ),
        _WECOM_CODES,
    ),
    Row(
        _S,
        40085,
        _TRANSIENT,
        Words(
            "The suite_ticket is too old, or another suite's; WeCom pushes a new one every ten minutes.",
            "suite_ticket 已过期，或者属于另一个应用；企业微信每十分钟推送一次新的。",
        ),
        _SUITE_TOKEN,
    ),
    Row(
        _S,
        41021,
        _PERMANENT,
        Words(
            "The suite id did not arrive; check what stands between you and WeCom.",
            "suite_id 没有送达；检查你与企业微信之间的代理或网关。",
        ),
        _SUITE_TOKEN,
    ),
    Row(
        _S,
        42007,
        _TRANSIENT,
        Words("The pre_auth_code is over: make another link.", "pre_auth_code 已过期：重新生成授权链接。"),
        _WECOM_CODES,
    ),
    Row(_S, 42009, _TRANSIENT, _SUITE_REJECTED, _WECOM_CODES),
    Row(
        _S,
        45009,
        _QUOTA,
        Words(
            "Too many requests; WeCom blocks for a minute, or for an hour.",
            "请求太多；企业微信会封禁一分钟，或一小时。",
        ),
        _WECOM_LIMITS,
    ),
    Row(_S, 45033, _TRANSIENT, Words("Too many requests at a time.", "并发请求太多。"), _WECOM_CODES),
    Row(_S, 48002, _PERMANENT, Words("This suite may not use this API.", "该应用没有这个接口的权限。"), _WECOM_CODES),
    Row(
        _S,
        48003,
        _PERMANENT,
        Words("The suite id is not that of the suite_access_token.", "suite_id 与 suite_access_token 不匹配。"),
        _WECOM_CODES,
    ),
    Row(
        _S,
        48004,
        _PERMANENT,
        Words(f"The authorisation was cancelled. {_CORP_AGAIN.en}", f"授权已取消。{_CORP_AGAIN.zh}"),
        _WECOM_CODES,
    ),
    Row(_S, 60020, _PERMANENT, _ALLOW_AT_WECOM, _WECOM_IP),
    Row(
        _V,
        40082,
        None,
        Words(
            "The suite_access_token or provider_access_token was rejected: it is over, or of another kind. A call with "
            "with_token(suite.provider) is repeated with a newer one.",
            "suite_access_token 或 provider_access_token 被拒：已过期，或种类不对。用 with_token(suite.provider) 发起的"
            "调用会换新 token 重试一次。",
        ),
        _WECOM_CODES,
    ),
    Row(
        _V,
        40084,
        None,
        Words(f"The corp's permanent code is dead. {_CORP_AGAIN.en}", f"该企业的永久授权码已失效。{_CORP_AGAIN.zh}"),
        _WECOM_CODES,
    ),
    Row(
        _V,
        40085,
        None,
        Words(
            "The suite_ticket is too old; a new one is pushed every ten minutes.",
            "suite_ticket 已过期；每十分钟会推送一次新的。",
        ),
        _WECOM_CODES,
    ),
    Row(
        _V,
        42009,
        None,
        Words(
            "The suite_access_token is over; Suite.provider gives a newer one.",
            "suite_access_token 已过期；Suite.provider 会给出新的。",
        ),
        _WECOM_CODES,
    ),
)


def advice_at(place: Place) -> dict[int, str]:
    """Get the advice for each errcode of a place."""
    return {row.errcode: row.advice for row in ROWS if row.place is place}


def causes_at(place: Place) -> dict[int, tuple[Cause, str]]:
    """Get what each errcode means for the next fetch, with its advice; of a place where something is fetched."""
    return {row.errcode: (row.cause, row.advice) for row in ROWS if row.place is place and row.cause is not None}


def words_at(place: Place, errcode: int) -> Words | None:
    """Get the advice for an errcode of a place in both languages; ``None`` if the table has none."""
    return next((row.words for row in ROWS if (row.place, row.errcode) == (place, errcode)), None)
