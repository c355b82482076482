"""
The pages on which an account's owner authorises a platform. Facts: docs/wechat.md#platforms.

The owner says yes at once: the page sends the browser back with an ``auth_code``, and the notice is among the
platform's. Nobody logs in here, so the account is the link's ``biz_appid``, or the default one.
"""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

from ._apis import Answer, Call

_PAGES = ("/cgi-bin/componentloginpage", "/wxaopen/safe/bindcomponent", "/safe/bindcomponent")
_TYPES = ("1", "2", "3", "4", "5", "6", "8")
_CODE_SHOWN = 600  # the redirect's expires_in


def answer(call: Call) -> Answer | None:
    """Answer a visit to one of the pages; ``None`` if it is none of them."""
    path, args = call.request.path, call.request.args
    if path not in _PAGES:
        return None
    platforms = call.wechat._platforms
    platform = platforms.known.get(args.get("component_appid", ""))
    if platform is None:
        return _wrong("there is no such component_appid")
    call.appid = platform.appid
    back = args.get("redirect_uri", "")
    there = urlsplit(back)
    if there.scheme not in ("http", "https") or not there.hostname:
        return _wrong("redirect_uri is no URL")
    mobile = path != _PAGES[0]
    if mobile and (args.get("action"), args.get("no_scan")) != ("bindcomponent", "1"):
        return _wrong("action and no_scan are missing")
    if args.get("auth_type", "3") not in _TYPES:  # uncertain: marked required, yet there is a default
        return _wrong("auth_type is none")
    came_from = urlsplit(call.request.headers.get("Referer", "")).hostname or ""
    if platform.start_domain is not None and came_from != platform.start_domain:
        return _wrong(f"the page with the link is on the domain {came_from!r}, not on the registered one")
    appid = args.get("biz_appid") or platforms.default_appid()
    if appid not in platforms.rules.accounts:
        return _wrong("there is no such biz_appid")
    pre_auth_code = args.get("pre_auth_code", "")
    if not platforms.use_pre_auth_code(platform, pre_auth_code):
        return _wrong("pre_auth_code was used before, or is too old")
    code = platform.authorise(appid, pre_auth_code=pre_auth_code)
    query = urlencode({"auth_code": code, "expires_in": _CODE_SHOWN})
    whole = there._replace(query=f"{there.query}&{query}" if there.query else query).geturl()
    return Answer(b"", "text/plain", 302, whole)


def _wrong(why: str) -> Answer:
    return Answer(f"The simulated page says no: {why}.".encode(), "text/plain; charset=utf-8", 400)
