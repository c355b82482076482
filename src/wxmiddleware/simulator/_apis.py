"""The APIs: what each path answers, once the method and the token were found right."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request

from ._errors import OK, Json, error
from ._log import TOKEN_PATHS
from ._outbox import CODES_A_MINUTE, DAILY
from ._rules import SimulatedAccount
from ._transports import PUSHED_FROM

if TYPE_CHECKING:
    from ._wechat import WeChat

_OPENID = re.compile(r"[oO][A-Za-z0-9_-]{0,127}", re.ASCII)
_IMAGE_LIMIT = 10 * 1024 * 1024
_TEXT_LIMIT = 2048
_MOST_ARTICLES = 8  # uncertain: some have found that more than one is refused
_KINDS = ("image", "voice", "video", "thumb")

# A whole baseline JPEG, 8 by 8 grey pixels, so that "save it and open it" works. One Huffman code each: "difference 0"
# and "end of block", then both of them and the padding.
JPEG = b"".join(
    (
        b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00",
        b"\xff\xdb\x00\x43\x00" + b"\x10" * 64,
        b"\xff\xc0\x00\x0b\x08\x00\x08\x00\x08\x01\x01\x11\x00",
        b"\xff\xc4\x00\x14\x00\x01" + bytes(15) + b"\x00",
        b"\xff\xc4\x00\x14\x10\x01" + bytes(15) + b"\x00",
        b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x3f\xff\xd9",
    )
)


@dataclass(slots=True)
class Answer:
    """What goes back: a JSON object or bytes. ``content_type`` of ``None`` is that of JSON answers."""

    body: Json | bytes
    content_type: str | None = None
    status: int = 200
    location: str | None = None

    @property
    def errcode(self) -> int | None:
        code = self.body.get("errcode") if isinstance(self.body, dict) else None
        return code if isinstance(code, int) else None

    def data(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(slots=True)
class Call:
    """A request being answered, and whose it turned out to be."""

    wechat: WeChat
    request: Request
    ip: str
    appid: str | None = None

    def fail(self, errcode: int, *, detail: str = "") -> Json:
        return error(errcode, self.wechat.clock(), ip=self.ip, detail=detail)

    def posted(self) -> Json | int:
        """The JSON body, or the errcode that it deserves."""
        raw = self.request.get_data()
        if not raw:
            return 44002
        if self.wechat.reject_unicode_escapes and re.search(rb"\\u[0-9a-fA-F]{4}", raw):
            return 40033
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            return 47001
        return body if isinstance(body, dict) else 47001


Handler = Callable[[Call, SimulatedAccount], Json | Answer]
_APIS: dict[str, tuple[str, Handler]] = {}


def _api(method: str, path: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        _APIS[path] = (method, handler)
        return handler

    return register


def answer(call: Call) -> Answer:
    """Answer one request as WeChat does."""
    path = call.request.path
    if path in TOKEN_PATHS:
        return Answer(_token(call) if path == "/cgi-bin/token" else _stable_token(call))
    if path == "/cgi-bin/clear_quota/v2":
        return Answer(_clear_quota_by_secret(call))
    if path not in _APIS:
        return Answer(call.fail(40066, detail=_not_played(path)))
    method, handler = _APIS[path]
    given = _authenticated(call, method)
    if isinstance(given, SimulatedAccount) and not call.wechat._desk.within_quota(given, path):
        given = call.fail(45009)
    result = handler(call, given) if isinstance(given, SimulatedAccount) else given
    made = result if isinstance(result, Answer) else Answer(result)
    if path == "/cgi-bin/media/get" and made.errcode:
        made.content_type = call.wechat.media_error_content_type
    return made


def _not_played(path: str) -> str:
    if path.startswith("/_simulator"):
        return "(the simulator serves /_simulator/ with admin=True only)"
    return f"(the simulator does not play {path[:100]}; WeChat.route() adds an API)"


def _authenticated(call: Call, method: str) -> SimulatedAccount | Json:
    # Uncertain: whether WeChat looks at the method or at the token first.
    if call.request.method != method:
        return call.fail(43002 if method == "POST" else 43001)
    access_token = call.request.args.get("access_token")  # never from elsewhere: docs/wechat.md#how-errors-arrive
    refused = call.wechat.check(access_token)
    owner = call.wechat._rules.owner(access_token)
    call.appid = None if owner is None else owner.appid
    return refused if refused is not None else owner if owner is not None else call.fail(40001)


# Tokens and tickets


def _token(call: Call) -> Json:
    args = call.request.args
    call.appid = args.get("appid")
    if call.request.method != "GET":
        call.wechat._rules.count_fetch(call.appid, "classic")
        return call.fail(43001)
    return call.wechat._rules.token(call.appid, args.get("secret"), args.get("grant_type"), call.ip)


def _stable_token(call: Call) -> Json:
    body = call.posted() if call.request.method == "POST" else 43002
    if isinstance(body, int):
        call.wechat._rules.count_fetch(None, "stable")
        return call.fail(body)
    given = body.get("appid")
    call.appid = given if isinstance(given, str) else None
    return call.wechat._rules.stable_token(body, call.ip)


@_api("GET", "/cgi-bin/ticket/getticket")
def _getticket(call: Call, account: SimulatedAccount) -> Json:
    kind = call.request.args.get("type", "")
    if kind not in ("jsapi", "wx_card"):
        return call.fail(40097)  # uncertain: the code for a wrong type
    ticket, expires_in = call.wechat._desk.ticket(account, kind)
    return {**OK, "ticket": ticket, "expires_in": expires_in}


# Messages


@_api("POST", "/cgi-bin/message/custom/send")
def _custom_send(call: Call, account: SimulatedAccount) -> Json:
    # The windows of 48 h and 1 min are not kept here: WeChat cannot know when a user wrote. Inject 45015 or 45047.
    body = call.posted()
    if isinstance(body, int):
        return call.fail(body)
    wrong = _receiver(account, body)
    if wrong:
        return call.fail(wrong)
    kind = body.get("msgtype")
    if not isinstance(kind, str) or not isinstance(body.get(kind), dict) or not body[kind]:
        return call.fail(40008)
    wrong = _beyond(kind, body[kind])
    if wrong:
        return call.fail(wrong)
    call.wechat._desk.take_message(account, "custom", body)
    return OK


def _beyond(kind: str, content: Json) -> int:
    if kind == "text":
        text = str(content.get("content", ""))
        return 44004 if not text else 45002 if len(text.encode("utf-8", "replace")) > _TEXT_LIMIT else 0
    if kind == "news":
        articles = content.get("articles")
        if not isinstance(articles, list) or not articles:
            return 44003
        return 45008 if len(articles) > _MOST_ARTICLES else 0
    return 0


@_api("POST", "/cgi-bin/message/template/send")
def _template_send(call: Call, account: SimulatedAccount) -> Json:
    body = call.posted()
    if isinstance(body, int):
        return call.fail(body)
    wrong = _receiver(account, body)
    if wrong:
        return call.fail(wrong)
    if not isinstance(body.get("template_id"), str) or not body["template_id"]:
        return call.fail(40037)
    data = body.get("data", {})
    for key, item in data.items() if isinstance(data, dict) else ():
        if not isinstance(item, dict) or not str(item.get("value", "")).strip():
            return call.fail(47003, detail=f"data.{key}.value is empty")
    return {**OK, "msgid": call.wechat._desk.take_message(account, "template", body)}


def _receiver(account: SimulatedAccount, body: Json) -> int:
    touser = body.get("touser")
    if not isinstance(touser, str) or not _OPENID.fullmatch(touser):
        return 40003
    return 43004 if touser in account.unsubscribed else 0


# Users


@_api("GET", "/cgi-bin/user/info")
def _user_info(call: Call, account: SimulatedAccount) -> Json:
    openid = call.request.args.get("openid", "")
    if not _OPENID.fullmatch(openid):
        return call.fail(40003)
    if openid in account.unsubscribed:
        return {"subscribe": 0, "openid": openid}
    return {
        "subscribe": 1,
        "openid": openid,
        "language": call.request.args.get("lang", "zh_CN"),
        "subscribe_time": 1716000000,
        "remark": "",
        "groupid": 0,
        "tagid_list": [],
        "subscribe_scene": "ADD_SCENE_QR_CODE",
    }


@_api("GET", "/cgi-bin/user/get")
def _user_get(call: Call, account: SimulatedAccount) -> Json:
    everyone = [openid for openid in account.followers if openid not in account.unsubscribed]
    after = call.request.args.get("next_openid", "")
    page = everyone[everyone.index(after) + 1 if after in everyone else 0 :][:10_000]
    answer: Json = {"total": len(everyone), "count": len(page)}
    if page:
        answer["data"] = {"openid": page}
    return {**answer, "next_openid": page[-1] if page else ""}


@_api("POST", "/wxa/business/getuserphonenumber")
def _phone_number(call: Call, account: SimulatedAccount) -> Json:
    body = call.posted()
    if isinstance(body, int):
        return call.fail(body)
    number = call.wechat._desk.use_phone_code(account, body.get("code"))
    if number is None:
        return call.fail(40029)
    return {
        **OK,
        "phone_info": {
            "phoneNumber": number,
            "purePhoneNumber": number,
            "countryCode": "86",
            "watermark": {"timestamp": int(call.wechat.clock()), "appid": account.appid},
        },
    }


# Menu


@_api("POST", "/cgi-bin/menu/create")
def _menu_create(call: Call, account: SimulatedAccount) -> Json:
    body = call.posted()
    if isinstance(body, int):
        return call.fail(body)
    wrong = _menu_fault(body.get("button"), top=True)
    if wrong:
        return call.fail(wrong)
    account.menu = body
    return OK


@_api("GET", "/cgi-bin/menu/get")
def _menu_get(call: Call, account: SimulatedAccount) -> Json:
    return call.fail(46003) if account.menu is None else {"menu": account.menu}


def _menu_fault(buttons: Any, *, top: bool) -> int:
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= (3 if top else 5):
        return 40016
    for button in buttons:
        if not isinstance(button, dict) or not isinstance(button.get("name"), str):
            return 40018
        if not 1 <= len(button["name"].encode()) <= (16 if top else 60):
            return 40018
        if top and button.get("sub_button"):
            wrong = _menu_fault(button["sub_button"], top=False)
            if wrong:
                return wrong
    return 0


# Files


@_api("POST", "/cgi-bin/media/upload")
def _media_upload(call: Call, account: SimulatedAccount) -> Json:
    kind = call.request.args.get("type", "")
    if kind not in _KINDS:
        return call.fail(40004)
    media_id = _received(call, account, kind)
    if isinstance(media_id, dict):
        return media_id
    return {"type": kind, "media_id": media_id, "created_at": int(call.wechat.clock())}


@_api("POST", "/cgi-bin/media/uploadimg")
def _media_uploadimg(call: Call, account: SimulatedAccount) -> Json | Answer:
    url = _received(call, account, "uploadimg")
    return url if isinstance(url, dict) else Answer({"url": url}, content_type="text/plain")


def _received(call: Call, account: SimulatedAccount, kind: str) -> str | Json:
    file = call.request.files.get("media")
    if file is None or not file.filename:
        return call.fail(41005)
    data = file.stream.read()
    if not data:  # what a file that was read once already and not rewound looks like
        return call.fail(44001)
    if kind in ("image", "uploadimg") and len(data) > _IMAGE_LIMIT:
        return call.fail(40009)
    return call.wechat._desk.take_file(account, kind, file.filename, file.content_type or "", data).media_id


@_api("GET", "/cgi-bin/media/get")
def _media_get(call: Call, account: SimulatedAccount) -> Json | Answer:
    upload = call.wechat._desk.file(account, call.request.args.get("media_id", ""))
    if upload is None:
        return call.fail(40007)
    if upload.type == "video":
        return {"video_url": f"http://203.205.158.83/vweixinp.tc.qq.com/{upload.media_id}.f10.mp4"}
    return Answer(upload.data, content_type=upload.content_type or "application/octet-stream")


@_api("POST", "/wxa/getwxacodeunlimit")
def _wxacode(call: Call, account: SimulatedAccount) -> Json | Answer:
    body = call.posted()
    if isinstance(body, int):
        return call.fail(body)
    scene = body.get("scene")
    if not isinstance(scene, str) or not 1 <= len(scene) <= 32:
        return call.fail(40097)  # uncertain: the code for a scene that is too long
    if str(body.get("page", "")).startswith("/"):
        return call.fail(41030)
    return Answer(JPEG, content_type="image/jpeg")


# Addresses and quotas


@_api("GET", "/cgi-bin/get_api_domain_ip")
def _api_domain_ip(call: Call, account: SimulatedAccount) -> Json:
    return {"ip_list": ["101.89.47.18", "101.91.34.103"]}


@_api("GET", "/cgi-bin/getcallbackip")
def _callback_ip(call: Call, account: SimulatedAccount) -> Json:
    return {"ip_list": list(PUSHED_FROM)}


@_api("POST", "/cgi-bin/callback/check")
def _callback_check(call: Call, account: SimulatedAccount) -> Json:
    body = call.posted()
    if isinstance(body, int):
        return call.fail(body)
    action, operator = body.get("action"), body.get("check_operator")
    if action not in ("dns", "ping", "all"):
        return call.fail(40202)
    if operator not in ("CHINANET", "UNICOM", "CAP", "DEFAULT"):
        return call.fail(40203)
    if account.callback_url is None:
        return call.fail(40201)
    result: Json = {}
    if action != "ping":
        result["dns"] = [{"ip": "111.161.64.40", "real_operator": "UNICOM"}]
    if action != "dns":
        loss = f"{account.callback_loss}%"
        result["ping"] = [{"ip": "111.161.64.40", "from_operator": "UNICOM", "package_loss": loss, "time": "23.079ms"}]
    return result


@_api("POST", "/cgi-bin/clear_quota")
def _clear_quota(call: Call, account: SimulatedAccount) -> Json:
    body = call.posted()
    if isinstance(body, int):
        return call.fail(body)
    if body.get("appid") != account.appid:
        return call.fail(40013)
    return OK if call.wechat._desk.clear_quota(account) else call.fail(48006)


def _clear_quota_by_secret(call: Call) -> Json:
    if call.request.method != "POST":
        return call.fail(43002)
    body: Json | int = call.posted()
    if body == 44002 and call.request.args:  # the page's example has the parameters in the query, its table in the body
        body = dict(call.request.args)
    if isinstance(body, int):
        return call.fail(body)
    appid, secret = body.get("appid"), body.get("appsecret")
    call.appid = appid if isinstance(appid, str) else None
    if not appid:
        return call.fail(41002)
    account = call.wechat.accounts.get(appid) if isinstance(appid, str) else None
    if account is None:
        return call.fail(40013)
    if not secret:
        return call.fail(41004)
    if secret != account.secret:
        return call.fail(40125)
    return OK if call.wechat._desk.clear_quota(account) else call.fail(48006)


@_api("POST", "/cgi-bin/openapi/rid/get")
def _rid_get(call: Call, account: SimulatedAccount) -> Json:
    body = call.posted()
    if isinstance(body, int):
        return call.fail(body)
    found = call.wechat._rids.answer(body.get("rid"), account.appid, call.wechat.clock())
    return call.fail(found) if isinstance(found, int) else {**OK, "request": found}


@_api("POST", "/cgi-bin/openapi/quota/get")
def _quota_get(call: Call, account: SimulatedAccount) -> Json:
    body = call.posted()
    if isinstance(body, int):
        return call.fail(body)
    path = body.get("cgi_path")
    if not isinstance(path, str) or not (path in TOKEN_PATHS or path in _APIS):
        return call.fail(76022 if str(path).startswith("/sns/") else 76021)
    wechat = call.wechat
    if path == "/cgi-bin/token":
        limit = wechat.daily_quota if account.daily_quota is None else account.daily_quota
        used = wechat.quota_used(account.appid, "classic")
    elif path == "/cgi-bin/stable_token":
        limit, used = wechat.stable_daily_quota, wechat.quota_used(account.appid, "stable")
    else:
        limit, used = DAILY.get(path, 0), wechat._desk.used(account, path) if path in DAILY else 0
    answer: Json = {**OK, "quota": {"daily_limit": limit, "used": used, "remain": max(0, limit - used)}}
    if path == "/cgi-bin/stable_token":
        answer["rate_limit"] = {"call_count": wechat.stable_minute_quota, "refresh_second": 60}
    elif path == "/wxa/getwxacodeunlimit":
        answer["rate_limit"] = {"call_count": CODES_A_MINUTE, "refresh_second": 60}
    return answer
