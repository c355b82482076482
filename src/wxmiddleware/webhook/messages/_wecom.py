"""What happens at WeCom, to a company's own app as an event and to a provider's suite as a notice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ._base import Event, Notice, listed, text, whole, wire

__all__ = [
    "ApprovalEvent",
    "CancelAuthNotice",
    "ChangeAuthNotice",
    "ContactChangeEvent",
    "ContactChangeNotice",
    "CreateAuthNotice",
    "EnterAgentEvent",
    "ExternalChatEvent",
    "ExternalChatNotice",
    "ExternalContactEvent",
    "ExternalContactNotice",
    "ExternalTagEvent",
    "ExternalTagNotice",
    "KfMessageEvent",
    "ResetPermanentCodeNotice",
    "SuiteTicket",
    "TemplateCardEvent",
]


@dataclass(frozen=True, kw_only=True)
class _ContactChange:
    __slots__ = ()  # what is mixed into events and notices has the slots there

    change_type: str = wire("ChangeType")
    user_id: str = wire("UserID", "UserId")
    new_user_id: str = wire("NewUserID")
    name: str = wire("Name", read=text)
    party_id: str = wire("Id")
    tag_id: str = wire("TagId")


@dataclass(frozen=True, kw_only=True)
class _ExternalContact:
    __slots__ = ()

    change_type: str = wire("ChangeType")
    user_id: str = wire("UserID", "UserId")
    external_user_id: str = wire("ExternalUserID", "ExternalUserId")
    state: str = wire("State", read=text)
    welcome_code: str = wire("WelcomeCode", secret=True)
    fail_reason: str = wire("FailReason")


@dataclass(frozen=True, kw_only=True)
class _ExternalChat:
    __slots__ = ()

    change_type: str = wire("ChangeType")
    chat_id: str = wire("ChatId")
    update_detail: str = wire("UpdateDetail")
    members: tuple[str, ...] = listed("MemChangeList")


@dataclass(frozen=True, kw_only=True)
class _ExternalTag:
    __slots__ = ()

    change_type: str = wire("ChangeType")
    tag_type: str = wire("TagType")
    tag_id: str = wire("Id")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactChangeEvent(_ContactChange, Event):
    """A member, a party or a tag of the company changed; `change_type` says how: ``create_user``, ``update_tag``, …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalContactEvent(_ExternalContact, Event):
    """A customer was added, changed or lost by `user_id`; `welcome_code` is good for 20 s and does not show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalChatEvent(_ExternalChat, Event):
    """A group with customers was made, changed or dismissed; `members` are the ids of who came or went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalTagEvent(_ExternalTag, Event):
    """A tag for customers, or a group of tags, was made, changed, deleted or moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KfMessageEvent(Event):
    """A customer wrote, or something happened there; ``kf/sync_msg`` takes `token`, which does not show."""

    token: str = wire("Token", secret=True)
    open_kfid: str = wire("OpenKfId")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalEvent(Event):
    """An approval changed. `status` is ``SpStatus``, `change_type` ``StatuChangeEvent``; `records` are its steps."""

    number: str = wire("ApprovalInfo.SpNo")
    name: str = wire("ApprovalInfo.SpName", read=text)
    status: int = wire("ApprovalInfo.SpStatus", read=whole)
    change_type: int = wire("ApprovalInfo.StatuChangeEvent", read=whole)
    template_id: str = wire("ApprovalInfo.TemplateId")
    apply_time: int = wire("ApprovalInfo.ApplyTime", read=whole)
    applicant: str = wire("ApprovalInfo.Applyer.UserId")
    records: tuple[Mapping[str, Any], ...] = listed("ApprovalInfo.SpRecord")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateCardEvent(Event):
    """A card's button or menu was tapped. The card is changed with `response_code`, once; it does not show."""

    key: str = wire("EventKey", "event.template_card_event.event_key", read=text)
    task_id: str = wire("TaskId", "event.template_card_event.task_id")
    card_type: str = wire("CardType", "event.template_card_event.card_type")
    response_code: str = wire("ResponseCode", secret=True)
    selected: tuple[Mapping[str, Any], ...] = listed(
        "SelectedItems.SelectedItem", "event.template_card_event.selected_items.selected_item"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterAgentEvent(Event):
    """A member opened the app."""

    key: str = wire("EventKey", read=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteTicket(Notice):
    """The ``suite_ticket`` that a suite fetches its token with. A secret, which does not show."""

    ticket: str = wire("SuiteTicket", secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAuthNotice(Notice):
    """A company installed the suite; `auth_code` is good once for ten minutes, and does not show."""

    auth_code: str = wire("AuthCode", secret=True)
    state: str = wire("State", read=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeAuthNotice(Notice):
    """A company changed what the suite may do or see: read ``get_auth_info`` again."""

    auth_corpid: str = wire("AuthCorpId")
    state: str = wire("State", read=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAuthNotice(Notice):
    """A company removed the suite; its permanent code is dead."""

    auth_corpid: str = wire("AuthCorpId")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetPermanentCodeNotice(Notice):
    """The secret of an app that was developed for a company was reset; `auth_code` fetches it, and does not show."""

    auth_code: str = wire("AuthCode", secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactChangeNotice(_ContactChange, Notice):
    """As `ContactChangeEvent`, at the company `auth_corpid`."""

    auth_corpid: str = wire("AuthCorpId")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalContactNotice(_ExternalContact, Notice):
    """As `ExternalContactEvent`, at the company `auth_corpid`."""

    auth_corpid: str = wire("AuthCorpId")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalChatNotice(_ExternalChat, Notice):
    """As `ExternalChatEvent`, at the company `auth_corpid`."""

    auth_corpid: str = wire("AuthCorpId")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalTagNotice(_ExternalTag, Notice):
    """As `ExternalTagEvent`, at the company `auth_corpid`."""

    auth_corpid: str = wire("AuthCorpId")
