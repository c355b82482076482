"""
Which errcode of WeCom's is cured by which new credential: one table for what a provider (服务商) handles.

A code that stands nowhere here is cured by none: a person must act (40078, 40084, 48004: authorise again; 40080, 40083:
the settings; 60020: the allowlist). Facts: docs/wechat.md#wecom-providers.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["CURES", "Cure", "cured_by"]


class Cure(Enum):
    """What has to be had anew."""

    CORP = "the token of the corp or the app"
    SUITE = "the suite_access_token"
    PROVIDER = "the provider_access_token"
    TICKET = "the suite_ticket: it is waited for"
    LINK = "the pre_auth_code, and the link with it"
    JS_TICKET = "the ticket that a page is signed with"


CURES: Final[dict[int, frozenset[Cure]]] = {
    40014: frozenset({Cure.CORP}),
    42001: frozenset({Cure.CORP, Cure.PROVIDER}),
    40082: frozenset({Cure.SUITE, Cure.PROVIDER}),
    42009: frozenset({Cure.SUITE}),
    40085: frozenset({Cure.TICKET}),
    40077: frozenset({Cure.LINK}),
    42007: frozenset({Cure.LINK}),
    40093: frozenset({Cure.JS_TICKET}),
    42012: frozenset({Cure.JS_TICKET}),
}


def cured_by(cure: Cure) -> frozenset[int]:
    """Get the errcodes that this one cures."""
    return frozenset(errcode for errcode, cures in CURES.items() if cure in cures)
