"""
What WeChat pushes, typed and immutable.

``fields`` of each message holds all that arrived, also what has no attribute. What is in none of these classes arrives
as a plain `Message`, `Event` or `Notice`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._base import Event, Message, Notice, made, word
from ._events import (
    ClickEvent,
    KfSessionEvent,
    LocationEvent,
    LocationSelectEvent,
    MassSentEvent,
    MediaCheckEvent,
    PictureEvent,
    PublishedEvent,
    ScanCodeEvent,
    ScanEvent,
    SubscribeEvent,
    SubscribeMsgChangeEvent,
    SubscribeMsgPopupEvent,
    SubscribeMsgSentEvent,
    TemplateSentEvent,
    TempSessionEvent,
    UnsubscribeEvent,
    ViewEvent,
    ViewMiniProgramEvent,
)
from ._messages import (
    FileMessage,
    ImageMessage,
    LinkMessage,
    LocationMessage,
    MiniProgramPageMessage,
    TextMessage,
    VideoMessage,
    VoiceMessage,
)
from ._platforms import AuthorizedNotice, ComponentTicket, FastRegisterNotice, UnauthorizedNotice
from ._wecom import (
    ApprovalEvent,
    CancelAuthNotice,
    ChangeAuthNotice,
    ContactChangeEvent,
    ContactChangeNotice,
    CreateAuthNotice,
    EnterAgentEvent,
    ExternalChatEvent,
    ExternalChatNotice,
    ExternalContactEvent,
    ExternalContactNotice,
    ExternalTagEvent,
    ExternalTagNotice,
    KfMessageEvent,
    ResetPermanentCodeNotice,
    SuiteTicket,
    TemplateCardEvent,
)

__all__ = [
    "ApprovalEvent",
    "AuthorizedNotice",
    "CancelAuthNotice",
    "ChangeAuthNotice",
    "ClickEvent",
    "ComponentTicket",
    "ContactChangeEvent",
    "ContactChangeNotice",
    "CreateAuthNotice",
    "EnterAgentEvent",
    "Event",
    "ExternalChatEvent",
    "ExternalChatNotice",
    "ExternalContactEvent",
    "ExternalContactNotice",
    "ExternalTagEvent",
    "ExternalTagNotice",
    "FastRegisterNotice",
    "FileMessage",
    "ImageMessage",
    "KfMessageEvent",
    "KfSessionEvent",
    "LinkMessage",
    "LocationEvent",
    "LocationMessage",
    "LocationSelectEvent",
    "MassSentEvent",
    "MediaCheckEvent",
    "Message",
    "MiniProgramPageMessage",
    "Notice",
    "PictureEvent",
    "PublishedEvent",
    "ResetPermanentCodeNotice",
    "ScanCodeEvent",
    "ScanEvent",
    "SubscribeEvent",
    "SubscribeMsgChangeEvent",
    "SubscribeMsgPopupEvent",
    "SubscribeMsgSentEvent",
    "SuiteTicket",
    "TempSessionEvent",
    "TemplateCardEvent",
    "TemplateSentEvent",
    "TextMessage",
    "UnauthorizedNotice",
    "UnsubscribeEvent",
    "VideoMessage",
    "ViewEvent",
    "ViewMiniProgramEvent",
    "VoiceMessage",
    "message_from",
]

# The field that names a kind, the names in small letters (WeChat writes some in capitals), and their classes.
_CLASSES: dict[str, dict[str, type[Message]]] = {
    "MsgType": {
        "text": TextMessage,
        "image": ImageMessage,
        "voice": VoiceMessage,
        "video": VideoMessage,
        "shortvideo": VideoMessage,
        "location": LocationMessage,
        "link": LinkMessage,
        "miniprogrampage": MiniProgramPageMessage,
        "file": FileMessage,
    },
    "Event": {
        "subscribe": SubscribeEvent,
        "unsubscribe": UnsubscribeEvent,
        "scan": ScanEvent,
        "location": LocationEvent,
        "click": ClickEvent,
        "view": ViewEvent,
        "view_miniprogram": ViewMiniProgramEvent,
        "scancode_push": ScanCodeEvent,
        "scancode_waitmsg": ScanCodeEvent,
        "pic_sysphoto": PictureEvent,
        "pic_photo_or_album": PictureEvent,
        "pic_weixin": PictureEvent,
        "location_select": LocationSelectEvent,
        "templatesendjobfinish": TemplateSentEvent,
        "subscribe_msg_popup_event": SubscribeMsgPopupEvent,
        "subscribe_msg_change_event": SubscribeMsgChangeEvent,
        "subscribe_msg_sent_event": SubscribeMsgSentEvent,
        "masssendjobfinish": MassSentEvent,
        "publishjobfinish": PublishedEvent,
        "kf_create_session": KfSessionEvent,
        "kf_close_session": KfSessionEvent,
        "kf_switch_session": KfSessionEvent,
        "user_enter_tempsession": TempSessionEvent,
        "wxa_media_check": MediaCheckEvent,
        "enter_agent": EnterAgentEvent,
        "template_card_event": TemplateCardEvent,
        "template_card_menu_event": TemplateCardEvent,
        "change_contact": ContactChangeEvent,
        "change_external_contact": ExternalContactEvent,
        "change_external_chat": ExternalChatEvent,
        "change_external_tag": ExternalTagEvent,
        "kf_msg_or_event": KfMessageEvent,
        "sys_approval_change": ApprovalEvent,
    },
    "InfoType": {
        "component_verify_ticket": ComponentTicket,
        "authorized": AuthorizedNotice,
        "updateauthorized": AuthorizedNotice,
        "unauthorized": UnauthorizedNotice,
        "notify_third_fasteregister": FastRegisterNotice,
        "notify_third_fastregisterbetaapp": FastRegisterNotice,
        "suite_ticket": SuiteTicket,
        "create_auth": CreateAuthNotice,
        "change_auth": ChangeAuthNotice,
        "cancel_auth": CancelAuthNotice,
        "reset_permanent_code": ResetPermanentCodeNotice,
        "change_contact": ContactChangeNotice,
        "change_external_contact": ExternalContactNotice,
        "change_external_chat": ExternalChatNotice,
        "change_external_tag": ExternalTagNotice,
    },
}


def message_from(fields: Mapping[str, Any]) -> Message:
    """Make the message that `fields`, under WeChat's own names, are."""
    return made(_class_for(fields), fields)


def _class_for(fields: Mapping[str, Any]) -> type[Message]:
    if "MsgType" not in fields and "InfoType" in fields:
        return _CLASSES["InfoType"].get(word(fields["InfoType"]).lower(), Notice)
    # An AI bot of WeCom's writes all names small. Of its messages only a text has what the others' have.
    kind = word(fields.get("MsgType", fields.get("msgtype"))).lower()
    if kind == "event":
        return _CLASSES["Event"].get(made(Event, fields).event.lower(), Event)
    if "MsgType" not in fields and kind != "text":
        return Message
    return _CLASSES["MsgType"].get(kind, Message)
