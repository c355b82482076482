"""What arrives, typed."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest

from wxmiddleware import webhook
from wxmiddleware.webhook import ComponentTicket, Event, Message, Notice, TextMessage
from wxmiddleware.webhook._crypto import Cipher
from wxmiddleware.webhook._wire import read
from wxmiddleware.webhook.messages import message_from

from .vectors import V3, V6

HEAD = {"ToUserName": "gh_1", "FromUserName": "oAda", "CreateTime": "1348831860"}


def message(kind: str, **fields: Any) -> Message:
    return message_from({**HEAD, "MsgType": kind, **fields})


def event(name: str, **fields: Any) -> Message:
    return message("event", Event=name, **fields)


@pytest.mark.parametrize(
    ("kind", "arrived", "fields", "read"),
    [
        ("TextMessage", "text", {"Content": "hi"}, {"content": "hi"}),
        ("ImageMessage", "image", {"PicUrl": "http://p", "MediaId": "m"}, {"pic_url": "http://p", "media_id": "m"}),
        (
            "VoiceMessage",
            "voice",
            {"MediaId": "m", "Format": "amr", "Recognition": "hi"},
            {"media_id": "m", "format": "amr", "recognition": "hi"},
        ),
        ("VideoMessage", "video", {"MediaId": "m", "ThumbMediaId": "t"}, {"media_id": "m", "thumb_media_id": "t"}),
        ("VideoMessage", "shortvideo", {"MediaId": "m"}, {"kind": "shortvideo", "thumb_media_id": ""}),
        (
            "LocationMessage",
            "location",
            {"Location_X": "23.134521", "Location_Y": "113.358803", "Scale": "20", "Label": "here"},
            {"latitude": 23.134521, "longitude": 113.358803, "scale": 20.0, "label": "here"},
        ),
        ("LocationMessage", "location", {"Location_X": "north"}, {"latitude": None, "longitude": None}),
        (
            "LinkMessage",
            "link",
            {"Title": "t", "Description": "d", "Url": "http://u"},
            {"title": "t", "description": "d", "url": "http://u"},
        ),
        ("Message", "hologram", {"Depth": "3"}, {"kind": "hologram"}),
    ],
)
def test_messages(kind: str, arrived: str, fields: dict[str, str], read: dict[str, Any]) -> None:
    """Each kind has its class, and the fields of it their names; an unknown kind is a plain message."""
    got = message(arrived, MsgId="1234567890123456", **fields)

    assert getattr(webhook, kind) is type(got)
    assert read == {name: getattr(got, name) for name in read}
    assert ("gh_1", "oAda", 1348831860, "1234567890123456") == (
        got.to_user,
        got.from_user,
        got.create_time,
        got.msg_id,
    )
    assert fields.items() <= got.fields.items()


@pytest.mark.parametrize(
    ("kind", "name", "fields", "read"),
    [
        ("SubscribeEvent", "subscribe", {"EventKey": "qrscene_7", "Ticket": "T"}, {"scene": "7", "ticket": "T"}),
        ("SubscribeEvent", "subscribe", {}, {"key": "", "scene": ""}),
        ("UnsubscribeEvent", "unsubscribe", {}, {}),
        ("ScanEvent", "SCAN", {"EventKey": "7", "Ticket": "T"}, {"scene": "7", "ticket": "T"}),
        (
            "LocationEvent",
            "LOCATION",
            {"Latitude": "23.1", "Longitude": "-113.3", "Precision": "119"},
            {"latitude": 23.1, "longitude": -113.3, "precision": 119.0},
        ),
        ("ClickEvent", "CLICK", {"EventKey": "k"}, {"key": "k"}),
        ("ViewEvent", "VIEW", {"EventKey": "http://v"}, {"url": "http://v"}),
        (
            "TemplateSentEvent",
            "TEMPLATESENDJOBFINISH",
            {"MsgID": "200163836", "Status": "failed:user block"},
            {"sent_id": "200163836", "status": "failed:user block"},
        ),
        ("Event", "debug_demo", {"debug_str": "x"}, {"event": "debug_demo"}),
    ],
)
def test_events(kind: str, name: str, fields: dict[str, str], read: dict[str, Any]) -> None:
    """Each event has its class; one that is not known is a plain event."""
    got = event(name, **fields)

    assert getattr(webhook, kind) is type(got)
    assert isinstance(got, Event)
    assert name == got.event
    assert read == {name: getattr(got, name) for name in read}


def test_component_ticket() -> None:
    """A platform's ticket is there, and does not show."""
    got = message_from(
        {"AppId": "wxc", "CreateTime": "1", "InfoType": "component_verify_ticket", "ComponentVerifyTicket": "TICKET"}
    )

    assert isinstance(got, ComponentTicket)
    assert ("TICKET", "wxc") == (got.ticket, got.appid)
    assert "TICKET" not in repr(got)


def test_other_notices() -> None:
    """What else a platform is told is a notice, with its fields."""
    got = message_from({"AppId": "wxc", "InfoType": "unauthorized", "AuthorizerAppid": "wx1"})

    assert isinstance(got, Notice)
    assert ("unauthorized", "wx1") == (got.info, got.fields["AuthorizerAppid"])


def test_json_example() -> None:
    """WeChat's example in JSON: an unknown event, with its field."""
    got = message_from(read(Cipher(V3.aes_key).decrypt(V3.encrypt)[0])[0])

    assert isinstance(got, Event)
    assert ("debug_demo", 1714112445, "hello world") == (got.event, got.create_time, got.fields["debug_str"])


def test_wecom_example() -> None:
    """WeCom's example: a text, to an app of the company's."""
    got = message_from(read(Cipher(V6.aes_key).decrypt(V6.encrypt)[0])[0])

    assert isinstance(got, TextMessage)
    assert ("hello", "mycreate", V6.appid, "4561255354251345929", "218") == (
        got.content,
        got.from_user,
        got.to_user,
        got.msg_id,
        got.agent_id,
    )


def test_ids_are_text() -> None:
    """A number of 64 bits and the id of a cloud function are both kept."""
    assert ["9223372036854775807", "49d7_1555684067"] == [
        message("text", MsgId=each).msg_id for each in (9223372036854775807, "49d7_1555684067")
    ]


def test_immutable() -> None:
    """Nothing of it can be changed, not even what is nested."""
    got = message("event", Event="pic", SendPicsInfo={"PicList": {"item": [{"PicMd5Sum": "1"}]}})

    with pytest.raises(dataclasses.FrozenInstanceError):
        got.kind = "text"  # type: ignore[misc]
    with pytest.raises(TypeError):
        got.fields["SendPicsInfo"]["x"] = 1  # type: ignore[index]
    assert isinstance(got.fields["SendPicsInfo"]["PicList"]["item"], tuple)


@pytest.mark.parametrize("got", [message("text", Content="hi", MsgId="1"), event("x", A={"item": ["1", {"b": "2"}]})])
def test_pickles(got: Message) -> None:
    """A job queue can carry it."""
    assert got == pickle.loads(pickle.dumps(got))
    assert hash(got) == hash(pickle.loads(pickle.dumps(got)))


@pytest.mark.parametrize("fields", [{"MsgType": {"a": "b"}}, {"MsgType": "text", "Content": {"a": 1}, "MsgId": [1]}])
def test_odd_fields(fields: dict[str, Any]) -> None:
    """A field of another shape than it should have is empty, and still reachable."""
    got = message_from(fields)

    assert "" == got.msg_id
    assert set(fields) == set(got.fields)


class TestIdentity:
    def test_same(self) -> None:
        """A repeat is known by its MsgId, whatever else has changed; an event by sender, time and name."""
        assert message("text", MsgId="1").identity() == message("text", MsgId="1", x="y").identity()
        assert event("CLICK", EventKey="a").identity() == event("CLICK", EventKey="a", x="y").identity()

    @pytest.mark.parametrize(
        "other",
        [
            event("VIEW", EventKey="a"),
            event("CLICK", EventKey="b"),
            event("CLICK", EventKey="a", CreateTime="1348831861"),
            event("CLICK", EventKey="a", FromUserName="oBob"),
            event("CLICK", EventKey="a", ToUserName="gh_2"),
            event("CLICK", EventKey="a", MsgID="7"),
        ],
    )
    def test_different(self, other: Message) -> None:
        """Two things that happened are two."""
        assert event("CLICK", EventKey="a").identity() != other.identity()
