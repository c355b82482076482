"""
WeChat's pushes: let in only WeChat, once, in time. ``pip install 'wxmiddleware[webhook]'``.

The messages and replies are here, the middlewares in `wxmiddleware.webhook.wsgi` and `.asgi`, the decorators in
`wxmiddleware.webhook.flask` and `.starlette`.
"""

from ._conversation import Webhook
from .addresses import CallbackAddresses
from .late import send_reply
from .messages import (
    ClickEvent,
    ComponentTicket,
    Event,
    ImageMessage,
    LinkMessage,
    LocationEvent,
    LocationMessage,
    Message,
    Notice,
    ScanEvent,
    SubscribeEvent,
    TemplateSentEvent,
    TextMessage,
    UnsubscribeEvent,
    VideoMessage,
    ViewEvent,
    VoiceMessage,
)
from .replies import (
    Article,
    ImageReply,
    MusicReply,
    NewsReply,
    RawReply,
    Reply,
    TextReply,
    TransferReply,
    VideoReply,
    VoiceReply,
)

__all__ = [
    "Article",
    "CallbackAddresses",
    "ClickEvent",
    "ComponentTicket",
    "Event",
    "ImageMessage",
    "ImageReply",
    "LinkMessage",
    "LocationEvent",
    "LocationMessage",
    "Message",
    "MusicReply",
    "NewsReply",
    "Notice",
    "RawReply",
    "Reply",
    "ScanEvent",
    "SubscribeEvent",
    "TemplateSentEvent",
    "TextMessage",
    "TextReply",
    "TransferReply",
    "UnsubscribeEvent",
    "VideoMessage",
    "VideoReply",
    "ViewEvent",
    "VoiceMessage",
    "VoiceReply",
    "Webhook",
    "send_reply",
]
