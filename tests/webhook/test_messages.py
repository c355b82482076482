"""What arrives, typed."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from wxmiddleware import webhook
from wxmiddleware.webhook import Event, Message, Notice, SubscribeMsgPopupEvent, TemplateCardEvent, TextMessage
from wxmiddleware.webhook._crypto import Cipher
from wxmiddleware.webhook._wire import read
from wxmiddleware.webhook.messages import message_from

from .vectors import V3, V6

HEAD = {"ToUserName": "gh_1", "FromUserName": "oAda", "CreateTime": "1348831860"}


def message(kind: str, **fields: Any) -> Message:
    return message_from({**HEAD, "MsgType": kind, **fields})


def event(name: str, **fields: Any) -> Event:
    got = message("event", Event=name, **fields)
    assert isinstance(got, Event)
    return got


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
        (
            "MiniProgramPageMessage",
            "miniprogrampage",
            {"Title": "t", "AppId": "wx1", "PagePath": "p", "ThumbUrl": "u", "ThumbMediaId": "m"},
            {"title": "t", "appid": "wx1", "path": "p", "thumb_url": "u", "thumb_media_id": "m"},
        ),
        (
            "FileMessage",
            "file",
            {"Title": "t", "Description": "d", "FileKey": "k", "FileMd5": "5", "FileTotalLen": "7"},
            {"title": "t", "description": "d", "file_key": "k", "md5": "5", "size": 7},
        ),
        ("TextMessage", "text", {"Content": "  hi\n"}, {"content": "  hi\n"}),
        ("LocationMessage", "location", {"Location_X": "nan", "Scale": "1e999"}, {"latitude": None, "scale": None}),
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
        (
            "SubscribeEvent",
            "subscribe",
            {"EventKey": "last_trade_no_40080"},
            {"key": "last_trade_no_40080", "scene": ""},
        ),
        ("SubscribeEvent", "subscribe", {"EventKey": "7"}, {"key": "7", "scene": ""}),
        ("SubscribeEvent", "subscribe", {"EventKey": "qrscene_"}, {"scene": ""}),
        ("SubscribeEvent", "subscribe", {"EventKey": "qrscene_qrscene_7"}, {"scene": "qrscene_7"}),
        ("UnsubscribeEvent", "unsubscribe", {}, {}),
        ("ScanEvent", "SCAN", {"EventKey": "7", "Ticket": "T"}, {"scene": "7", "ticket": "T"}),
        ("ScanEvent", "scan", {"EventKey": 7}, {"scene": "7", "ticket": ""}),
        ("ScanEvent", "SCAN", {"EventKey": "last_trade_no_40080"}, {"key": "last_trade_no_40080", "scene": ""}),
        ("ScanEvent", "SCAN", {}, {"scene": ""}),
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


LIST = {"TemplateId": "t1", "SubscribeStatusString": "accept"}


@pytest.mark.parametrize(
    ("kind", "name", "fields", "read"),
    [
        (
            "ScanCodeEvent",
            "scancode_waitmsg",
            {"EventKey": "k", "ScanCodeInfo": {"ScanType": "qrcode", "ScanResult": " 1 "}},
            {"key": "k", "scan_type": "qrcode", "result": " 1 "},
        ),
        ("ScanCodeEvent", "scancode_push", {"ScanCodeInfo": ""}, {"scan_type": "", "result": ""}),
        (
            "PictureEvent",
            "pic_weixin",
            {"EventKey": "k", "SendPicsInfo": {"Count": "1", "PicList": {"item": {"PicMd5Sum": "1"}}}},
            {"key": "k", "count": 1, "pictures": ({"PicMd5Sum": "1"},)},
        ),
        ("PictureEvent", "pic_sysphoto", {"SendPicsInfo": {"PicList": ""}}, {"count": 0, "pictures": ()}),
        ("PictureEvent", "pic_photo_or_album", {}, {"pictures": ()}),
        (
            "LocationSelectEvent",
            "location_select",
            {
                "SendLocationInfo": {
                    "Location_X": "23",
                    "Location_Y": "113",
                    "Scale": "15",
                    "Label": "l",
                    "Poiname": "p",
                }
            },
            {"latitude": 23.0, "longitude": 113.0, "scale": 15.0, "label": "l", "poi_name": "p"},
        ),
        (
            "ViewMiniProgramEvent",
            "view_miniprogram",
            {"EventKey": "p/i", "MenuId": "m"},
            {"path": "p/i", "menu_id": "m"},
        ),
        (
            "MassSentEvent",
            "MASSSENDJOBFINISH",
            {
                "MsgID": "7",
                "Status": "sendsuccess",
                "TotalCount": "100",
                "FilterCount": "80",
                "SentCount": "75",
                "ErrorCount": "5",
                "ArticleUrlResult": {"Count": "1", "ResultList": {"item": {"ArticleIdx": "1", "ArticleUrl": "u"}}},
                "CopyrightCheckResult": {"ResultList": {"item": [{"AuditState": "2"}, {"AuditState": "3"}]}},
            },
            {
                "sent_id": "7",
                "status": "sendsuccess",
                "total": 100,
                "filtered": 80,
                "sent": 75,
                "failed": 5,
                "articles": ({"ArticleIdx": "1", "ArticleUrl": "u"},),
                "copyright_checks": ({"AuditState": "2"}, {"AuditState": "3"}),
            },
        ),
        (
            "PublishedEvent",
            "PUBLISHJOBFINISH",
            {
                "PublishEventInfo": {
                    "publish_id": "9",
                    "publish_status": "0",
                    "article_id": "a",
                    "article_detail": {"count": "1", "item": {"idx": "1", "article_url": "u"}},
                }
            },
            {
                "publish_id": "9",
                "status": "0",
                "article_id": "a",
                "articles": ({"idx": "1", "article_url": "u"},),
                "failed": (),
            },
        ),
        ("PublishedEvent", "PUBLISHJOBFINISH", {"PublishEventInfo": {"fail_idx": [1, 2]}}, {"failed": (1, 2)}),
        ("KfSessionEvent", "kf_create_session", {"KfAccount": "a@b"}, {"account": "a@b", "from_account": ""}),
        ("KfSessionEvent", "kf_close_session", {"KfAccount": "a@b"}, {"account": "a@b"}),
        (
            "KfSessionEvent",
            "kf_switch_session",
            {"FromKfAccount": "a", "ToKfAccount": "b"},
            {"from_account": "a", "to_account": "b", "account": ""},
        ),
        ("TempSessionEvent", "user_enter_tempsession", {"SessionFrom": "page=1"}, {"session_from": "page=1"}),
        (
            "MediaCheckEvent",
            "wxa_media_check",
            {
                "appid": "wx1",
                "trace_id": "t",
                "version": 2,
                "detail": [{"strategy": "content_model", "suggest": "risky"}],
                "errcode": -1008,
                "result": {"suggest": "risky", "label": 20001},
            },
            {
                "appid": "wx1",
                "trace_id": "t",
                "suggest": "risky",
                "label": "20001",
                "errcode": -1008,
                "details": ({"strategy": "content_model", "suggest": "risky"},),
            },
        ),
        (
            "SubscribeMsgPopupEvent",
            "subscribe_msg_popup_event",
            {"SubscribeMsgPopupEvent": {"List": LIST}},
            {"templates": (LIST,)},
        ),
        ("SubscribeMsgPopupEvent", "subscribe_msg_popup_event", {"List": LIST}, {"templates": (LIST,)}),
        ("SubscribeMsgPopupEvent", "subscribe_msg_popup_event", {"List": [LIST, LIST]}, {"templates": (LIST, LIST)}),
        (
            "SubscribeMsgChangeEvent",
            "subscribe_msg_change_event",
            {"SubscribeMsgChangeEvent": {"List": [LIST, LIST]}},
            {"templates": (LIST, LIST)},
        ),
        (
            "SubscribeMsgSentEvent",
            "subscribe_msg_sent_event",
            {"SubscribeMsgSentEvent": {"List": {"TemplateId": "t", "MsgID": "1", "ErrorStatus": "success"}}},
            {"templates": ({"TemplateId": "t", "MsgID": "1", "ErrorStatus": "success"},)},
        ),
        (
            "KfMessageEvent",
            "kf_msg_or_event",
            {"Token": "SECRET", "OpenKfId": "wk1"},
            {"token": "SECRET", "open_kfid": "wk1"},
        ),
        (
            "ContactChangeEvent",
            "change_contact",
            {"ChangeType": "update_user", "UserID": "ada", "NewUserID": "lovelace", "Name": "Ada"},
            {"change_type": "update_user", "user_id": "ada", "new_user_id": "lovelace", "name": "Ada", "party_id": ""},
        ),
        ("ContactChangeEvent", "change_contact", {"ChangeType": "delete_party", "Id": "2"}, {"party_id": "2"}),
        (
            "ExternalContactEvent",
            "change_external_contact",
            {
                "ChangeType": "add_external_contact",
                "UserID": "ada",
                "ExternalUserID": "wm1",
                "State": "s",
                "WelcomeCode": "SECRET",
            },
            {"user_id": "ada", "external_user_id": "wm1", "state": "s", "welcome_code": "SECRET", "fail_reason": ""},
        ),
        (
            "ExternalChatEvent",
            "change_external_chat",
            {"ChangeType": "update", "ChatId": "wr1", "UpdateDetail": "add_member", "MemChangeList": {"Item": "wm1"}},
            {"chat_id": "wr1", "update_detail": "add_member", "members": ("wm1",)},
        ),
        (
            "ExternalTagEvent",
            "change_external_tag",
            {"ChangeType": "create", "TagType": "tag", "Id": "et1"},
            {"change_type": "create", "tag_type": "tag", "tag_id": "et1"},
        ),
        (
            "ApprovalEvent",
            "sys_approval_change",
            {
                "ApprovalInfo": {
                    "SpNo": "201908260001",
                    "SpName": "Leave",
                    "SpStatus": "1",
                    "StatuChangeEvent": "2",
                    "TemplateId": "t",
                    "ApplyTime": "1566790456",
                    "Applyer": {"UserId": "ada", "Party": "1"},
                    "SpRecord": {"SpStatus": "1", "Details": [{"Speech": ""}]},
                }
            },
            {
                "number": "201908260001",
                "name": "Leave",
                "status": 1,
                "change_type": 2,
                "template_id": "t",
                "apply_time": 1566790456,
                "applicant": "ada",
                "records": ({"SpStatus": "1", "Details": ({"Speech": ""},)},),
            },
        ),
        (
            "TemplateCardEvent",
            "template_card_event",
            {
                "EventKey": "k",
                "TaskId": "t",
                "CardType": "vote_interaction",
                "ResponseCode": "SECRET",
                "SelectedItems": {"SelectedItem": {"QuestionKey": "q", "OptionIds": {"OptionId": "a"}}},
            },
            {
                "key": "k",
                "task_id": "t",
                "card_type": "vote_interaction",
                "response_code": "SECRET",
                "selected": ({"QuestionKey": "q", "OptionIds": {"OptionId": "a"}},),
            },
        ),
        ("TemplateCardEvent", "template_card_menu_event", {"TaskId": "t"}, {"task_id": "t", "selected": ()}),
        ("EnterAgentEvent", "enter_agent", {"EventKey": ""}, {"key": ""}),
    ],
)
@pytest.mark.parametrize("spelt", [str, str.upper, str.title, " {}\n".format])
def test_more_events(
    kind: str, name: str, fields: dict[str, Any], read: dict[str, Any], spelt: Callable[[str], str]
) -> None:
    """Other events are typed as well, however their name is spelt; what is secret in them does not show."""
    got = event(spelt(name), AgentID="1000002", **fields)

    assert getattr(webhook, kind) is type(got)
    assert read == {name: getattr(got, name) for name in read}
    assert ("1000002", spelt(name).strip()) == (got.agent_id, got.event)
    assert "SECRET" not in repr(got)
    assert hash(got) == hash(pickle.loads(pickle.dumps(got)))


@pytest.mark.parametrize(
    ("kind", "info", "fields", "read"),
    [
        ("ComponentTicket", "component_verify_ticket", {"ComponentVerifyTicket": "SECRET"}, {"ticket": "SECRET"}),
        *(
            (
                "AuthorizedNotice",
                info,
                {
                    "AuthorizerAppid": "wx1",
                    "AuthorizationCode": "SECRET1",
                    "AuthorizationCodeExpiredTime": "1788904200",
                    "PreAuthCode": "SECRET2",
                },
                {
                    "authorizer_appid": "wx1",
                    "auth_code": "SECRET1",
                    "auth_code_expires": 1788904200,
                    "pre_auth_code": "SECRET2",
                },
            )
            for info in ("authorized", "updateauthorized")
        ),
        ("UnauthorizedNotice", "unauthorized", {"AuthorizerAppid": "wx1"}, {"authorizer_appid": "wx1"}),
        (
            "FastRegisterNotice",
            "notify_third_fasteregister",
            {"appid": "wx2", "status": "0", "msg": "OK", "auth_code": "SECRET", "info": {"name": "Made-up Tea"}},
            {"authorizer_appid": "wx2", "auth_code": "SECRET", "status": "0", "error": "OK", "name": "Made-up Tea"},
        ),
        (
            "FastRegisterNotice",
            "notify_third_fasteregister",
            {"status": "-1", "msg": "no"},
            {"authorizer_appid": "", "auth_code": "", "status": "-1", "error": "no"},
        ),
        ("FastRegisterNotice", "notify_third_fastregisterbetaapp", {"appid": "wx2"}, {"authorizer_appid": "wx2"}),
        ("Notice", "notify_3rd_wxa_auth", {"appid": "wx2"}, {}),
    ],
)
def test_platform_notices(kind: str, info: str, fields: dict[str, Any], read: dict[str, Any]) -> None:
    """What a platform is told is typed, for the platform; codes and tickets do not show."""
    got = message_from({"AppId": "wxc", "CreateTime": "5", "InfoType": info, **fields})

    assert getattr(webhook, kind) is type(got)
    assert isinstance(got, Notice)
    assert (info, "wxc", 5) == (got.info, got.appid, got.create_time)
    assert read == {name: getattr(got, name) for name in read}
    assert "SECRET" not in repr(got)


@pytest.mark.parametrize(
    ("kind", "info", "fields", "read"),
    [
        ("SuiteTicket", "suite_ticket", {"SuiteTicket": "SECRET"}, {"ticket": "SECRET"}),
        (
            "CreateAuthNotice",
            "create_auth",
            {"AuthCode": "SECRET", "State": "s"},
            {"auth_code": "SECRET", "state": "s"},
        ),
        ("ChangeAuthNotice", "change_auth", {"AuthCorpId": "wp1"}, {"auth_corpid": "wp1", "state": ""}),
        ("CancelAuthNotice", "cancel_auth", {"AuthCorpId": "wp1"}, {"auth_corpid": "wp1"}),
        ("ResetPermanentCodeNotice", "reset_permanent_code", {"AuthCode": "SECRET"}, {"auth_code": "SECRET"}),
        (
            "ContactChangeNotice",
            "change_contact",
            {"AuthCorpId": "wp1", "ChangeType": "update_tag", "TagId": "3"},
            {"auth_corpid": "wp1", "change_type": "update_tag", "tag_id": "3"},
        ),
        (
            "ExternalContactNotice",
            "change_external_contact",
            {"AuthCorpId": "wp1", "UserID": "u", "WelcomeCode": "SECRET"},
            {"auth_corpid": "wp1", "user_id": "u", "welcome_code": "SECRET"},
        ),
        ("ExternalChatNotice", "change_external_chat", {"AuthCorpId": "wp1", "ChatId": "c"}, {"chat_id": "c"}),
        ("ExternalTagNotice", "change_external_tag", {"AuthCorpId": "wp1", "Id": "t"}, {"tag_id": "t"}),
        ("Notice", "share_agent_change", {"AppId": "1", "CorpId": "wp1"}, {}),
    ],
)
@pytest.mark.parametrize("blank", ["", " "])
def test_suite_notices(kind: str, info: str, fields: dict[str, str], read: dict[str, str], blank: str) -> None:
    """What a suite is told is typed, for the suite and at its time; WeCom puts a blank before some of the names."""
    got = message_from({"SuiteId": "ww1", "InfoType": blank + info, "TimeStamp": "1403610513", **fields})

    assert getattr(webhook, kind) is type(got)
    assert isinstance(got, Notice)
    assert (info, "ww1", 1403610513) == (got.info, got.appid, got.create_time)
    assert read == {name: getattr(got, name) for name in read}
    assert "SECRET" not in repr(got)


def test_notice_for_no_suite() -> None:
    """What WeCom tells the provider itself is for the provider."""
    got = message_from({"ServiceCorpId": "wwp", "InfoType": "register_corp", "TimeStamp": 1502682173})

    assert ("wwp", 1502682173) == (got.appid, got.create_time) if isinstance(got, Notice) else False


class TestAIBot:
    HEAD: ClassVar = {"msgid": "m1", "aibotid": "aib1", "chattype": "single", "from": {"userid": "ada"}}

    def test_text(self) -> None:
        """What an AI bot of WeCom's gets has small names; a text is a text."""
        got = message_from({**self.HEAD, "msgtype": "text", "text": {"content": " hi"}})

        assert isinstance(got, TextMessage)
        assert ("text", "m1", "ada", "aib1", " hi") == (got.kind, got.msg_id, got.from_user, got.to_user, got.content)

    @pytest.mark.parametrize("kind", ["image", "mixed", "voice", "file", "video", "stream"])
    def test_other_kinds(self, kind: str) -> None:
        """Its other messages have other contents than an account's, so they are plain ones."""
        got = message_from({**self.HEAD, "msgtype": kind, kind: {"url": "u"}})

        assert Message is type(got)
        assert (kind, {"url": "u"}) == (got.kind, got.fields[kind])

    def test_event(self) -> None:
        """Its events have a name and a time."""
        got = message_from(
            {**self.HEAD, "create_time": 1788900700, "msgtype": "event", "event": {"eventtype": "enter_chat"}}
        )

        assert Event is type(got)
        assert ("enter_chat", 1788900700) == (got.event, got.create_time) if isinstance(got, Event) else False

    def test_card(self) -> None:
        """A tapped card is what it is elsewhere."""
        chosen = {"question_key": "q1", "option_ids": {"option_id": ["a", "b"]}}
        card: dict[str, Any] = {"card_type": "vote_interaction", "event_key": "vote", "task_id": "t-100"}
        card["selected_items"] = {"selected_item": [chosen]}
        got = message_from(
            {
                **self.HEAD,
                "msgtype": "event",
                "event": {"eventtype": "template_card_event", "template_card_event": card},
            }
        )

        assert isinstance(got, TemplateCardEvent)
        assert ("vote", "t-100", "vote_interaction") == (got.key, got.task_id, got.card_type)
        assert ({"question_key": "q1", "option_ids": {"option_id": ("a", "b")}},) == got.selected


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
        got.fields["SendPicsInfo"]["x"] = 1
    assert isinstance(got.fields["SendPicsInfo"]["PicList"]["item"], tuple)


NESTED = event("pic_weixin", SendPicsInfo={"Count": 2, "PicList": {"item": [{"PicMd5Sum": "1"}, {"PicMd5Sum": "2"}]}})
BY_HAND = TextMessage(content="hi", kind="text")
EACH = pytest.mark.parametrize(
    "got",
    [message("text", Content="hi", MsgId="1"), event("x", A={"item": ["1", {"b": "2"}]}), NESTED, BY_HAND, Message()],
    ids=["text", "unknown", "nested", "by hand", "empty"],
)


@EACH
class TestKept:
    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickles(self, got: Message, protocol: int) -> None:
        """A job queue can carry it."""
        for one in (got, got.fields):
            assert one == pickle.loads(pickle.dumps(one, protocol))
        assert hash(got) == hash(pickle.loads(pickle.dumps(got, protocol)))

    @pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, dataclasses.replace])
    def test_copies(self, got: Message, how: Callable[[Message], Message]) -> None:
        """It can be copied, and the copy is as immutable."""
        copied = how(got)

        assert got == copied
        assert got.fields == copy.copy(got.fields) == copy.deepcopy(got.fields)
        with pytest.raises(TypeError):
            copied.fields["x"] = 1  # type: ignore[index]

    def test_json(self, got: Message) -> None:
        """It goes through JSON and back."""
        assert got.fields == message_from(json.loads(json.dumps(got.fields))).fields
        assert got.as_dict() == json.loads(json.dumps(got.as_dict()))
        assert got.fields == message_from(got.as_dict()).fields

    def test_asdict(self, got: Message) -> None:
        """The standard library makes a dict of it, which JSON takes."""
        made = dataclasses.asdict(got)

        assert (got.kind, got.fields) == (made["kind"], made["fields"])
        assert json.loads(json.dumps(made))["fields"] == got.as_dict()


def test_plain_copy() -> None:
    """The plain data is the caller's own: dicts and lists, which the message does not notice."""
    plain = NESTED.as_dict()
    pictures = plain["SendPicsInfo"]["PicList"]["item"]
    pictures.append("x")
    pictures[0]["PicMd5Sum"] = "3"

    assert [dict, dict, dict, list] == [type(each) for each in (plain, plain["SendPicsInfo"], pictures[0], pictures)]
    assert ({"PicMd5Sum": "1"}, {"PicMd5Sum": "2"}) == NESTED.all("SendPicsInfo", "PicList")


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.update(x=1),
        lambda fields: fields.pop("MsgType"),
        lambda fields: fields.popitem(),
        lambda fields: fields.clear(),
        lambda fields: fields.setdefault("x", 1),
        lambda fields: fields.__delitem__("MsgType"),
        lambda fields: fields.__ior__({"x": 1}),
    ],
)
@pytest.mark.parametrize("where", [NESTED.fields, NESTED.fields["SendPicsInfo"], copy.deepcopy(NESTED.fields)])
def test_read_only(change: Callable[[Any], object], where: Any) -> None:
    """Fields refuse each way to change a dict, also where they are nested."""
    before = json.dumps(where)
    with pytest.raises(TypeError, match="as_dict"):
        change(where)

    assert before == json.dumps(where)


A, B = {"n": "1"}, {"n": "2"}


@pytest.mark.parametrize(
    ("held", "found"),
    [
        (None, ()),
        ("", ()),
        ("\n ", ()),
        ([], ()),
        ({}, ()),
        (A, (A,)),
        ([A], (A,)),
        ([A, B], (A, B)),
        ("one", ("one",)),
        (["one", "two"], ("one", "two")),
        ({"item": A}, (A,)),
        ({"item": [A]}, (A,)),
        ({"item": [A, B]}, (A, B)),
        ({"Item": ["one", "two"]}, ("one", "two")),
        ({"item": ""}, ()),
        ({"item": []}, ()),
        (0, (0,)),
    ],
)
class TestAll:
    def test_entries(self, held: object, found: tuple[object, ...]) -> None:
        """A list is a tuple of its entries, whatever its length and however WeChat wraps them."""
        got = event("x", Outer={"List": held}, Flat=held)

        assert found == got.all("Outer", "List") == got.all("Flat")

    def test_item_may_be_named(self, held: object, found: tuple[object, ...]) -> None:
        """``item`` is found where it stands, and left out where it does not, as in JSON."""
        assert found == event("x", Outer={"List": held}).all("Outer", "List", "item")

    def test_below_a_list(self, held: object, found: tuple[object, ...]) -> None:
        """Lists in the entries of a list come one after the other."""
        assert found * 2 == event("x", Outer=[{"List": held}, {"List": held}, "x"]).all("Outer", "List")


def test_all_of_nothing() -> None:
    """What has not arrived has no entries."""
    got = event("x", Text="a", Outer={"a": "b"})

    assert () == got.all("Missing") == got.all("Missing", "List") == got.all("Text", "List") == got.all("Outer", "List")


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_lists_in_both_formats(count: int) -> None:
    """XML and JSON give the same entries, none, one or many."""
    entries = tuple({"TemplateId": str(number)} for number in range(count))
    body = "".join(f"<List><TemplateId>{each['TemplateId']}</TemplateId></List>" for each in entries)
    head = "<MsgType>event</MsgType><Event>subscribe_msg_popup_event</Event>"
    in_xml = message_from(read(f"<xml>{head}<SubscribeMsgPopupEvent>{body}</SubscribeMsgPopupEvent></xml>".encode())[0])
    fields = {"MsgType": "event", "Event": "subscribe_msg_popup_event", "List": entries}
    in_json = message_from(read(json.dumps(fields).encode())[0])

    for got in (in_xml, in_json):
        assert isinstance(got, SubscribeMsgPopupEvent)
        assert entries == got.templates
    assert entries == in_xml.all("SubscribeMsgPopupEvent", "List") == in_json.all("List")


@pytest.mark.parametrize("fields", [{"MsgType": {"a": "b"}}, {"MsgType": "text", "Content": {"a": 1}, "MsgId": [1]}])
def test_odd_fields(fields: dict[str, Any]) -> None:
    """A field of another shape than it should have is empty, and still reachable."""
    got = message_from(fields)

    assert "" == got.msg_id
    assert set(fields) == set(got.fields)


class TestIdentity:
    @pytest.mark.parametrize(
        "fields",
        [
            {**HEAD, "MsgType": "text", "MsgId": "1"},
            {**HEAD, "MsgType": "hologram", "MsgId": 1},
            {"msgtype": "text", "msgid": "1", "from": {"userid": "ada"}},
        ],
    )
    def test_messages(self, fields: dict[str, Any]) -> None:
        """A repeat of a message is known by its MsgId, whatever else has changed."""
        assert message_from(fields).identity() == message_from({**fields, "x": "y"}).identity()

    @pytest.mark.parametrize("name", ["MsgId", "FromUserName", "ToUserName", "AgentID"])
    def test_other_messages(self, name: str) -> None:
        """The same MsgId from or to another is another message."""
        fields = {**HEAD, "MsgType": "text", "MsgId": "1"}

        assert message_from(fields).identity() != message_from({**fields, name: "2"}).identity()

    @pytest.mark.parametrize(
        "fields",
        [
            {**HEAD, "MsgType": "event", "Event": "change_contact", "ChangeType": "delete_user"},
            {**HEAD, "MsgType": "event", "Event": "x", "MsgId": "1"},
            {**HEAD, "MsgType": "Event", "MsgId": "1"},
            {"InfoType": "notify_third_fasteregister", "appid": "wxA", "MsgId": "1"},
            {"msgtype": "event", "msgid": "1", "event": {"eventtype": "enter_chat"}},
            {**HEAD, "MsgType": "text", "Content": "without an id"},
        ],
    )
    @pytest.mark.parametrize(
        "more", [{"Unheard": "x"}, {"CreateTime": "2"}, {"a": {"b": ["1", "2"]}}, {"a": {"b": ["2", "1"]}}, {"A": ""}]
    )
    def test_what_happens(self, fields: dict[str, Any], more: dict[str, Any]) -> None:
        """All else is known by all that arrived, in whatever order."""
        both = {**fields, **more}

        assert message_from(both).identity() == message_from(dict(reversed(both.items()))).identity()
        assert message_from(both).identity() != message_from(fields).identity()

    def test_halves_of_emoji(self) -> None:
        """No text is an error."""
        assert message_from({"MsgType": "event", "Event": "\ud83d"}).identity()
