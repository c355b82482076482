"""Bodies to fields, and what is refused on the way."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import random
import sys
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wxmiddleware.webhook._wire import Format, Unreadable, read, write

BOMB = (
    "<!DOCTYPE xml [<!ENTITY a 'ha'>"
    + "".join(f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in zip("abcdefghi", "bcdefghij"))
    + "]><xml><MsgType>&j;</MsgType></xml>"
)
QUADRATIC = f"<!DOCTYPE xml [<!ENTITY a '{'x' * 50_000}'>]><xml>{'&a;' * 20_000}</xml>"
NAMES = st.from_regex("[A-Z][a-z]{0,8}", fullmatch=True)
LEAVES = st.text(st.characters(codec="utf-8")) | st.integers(0, 2**64)


def readable(text: Any) -> Any:
    """What a parser may make of a text: newlines are one character, and what XML cannot carry is replaced."""
    if not isinstance(text, str):
        return str(text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        c if c in "\t\n" or "\x20" <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c >= "\U00010000" else "\ufffd"
        for c in text
    )


def test_without_defusedxml(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the parser, the error names the extra."""
    monkeypatch.setitem(sys.modules, "defusedxml.common", None)
    spec = importlib.util.find_spec("wxmiddleware.webhook._wire")
    assert spec is not None
    assert spec.loader is not None

    with pytest.raises(ImportError, match=r"wxmiddleware\[webhook\]"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


class TestRead:
    def test_xml(self) -> None:
        """Nested elements and lists of items are fields, too."""
        body = (
            "<xml><A><![CDATA[1 < 2]]></A><B>7</B><C><D>x</D><E/></C>"
            "<L><item><k>1</k></item><item><k>2</k></item></L></xml>"
        )
        fields = {"A": "1 < 2", "B": "7", "C": {"D": "x", "E": ""}, "L": {"item": [{"k": "1"}, {"k": "2"}]}}

        assert (fields, Format.XML) == read(body.encode())

    def test_json(self) -> None:
        """A JSON object keeps its types."""
        assert ({"A": 1, "B": {"C": ["x"]}}, Format.JSON) == read(b' {"A": 1, "B": {"C": ["x"]}}\n')

    def test_mark_and_declaration(self) -> None:
        """A byte order mark and an XML declaration before the message do no harm."""
        assert {"A": "é"} == read('\ufeff<?xml version="1.0" encoding="UTF-8"?>\n<xml><A>é</A></xml>'.encode())[0]

    def test_what_users_type(self) -> None:
        """A control character or broken UTF-8 costs that character, not the message."""
        assert {"A": "a\ufffdb\ufffd"} == read(b"<xml><A><![CDATA[a\x0bb\xff]]></A></xml>")[0]

    @pytest.mark.parametrize(
        "body",
        [
            "",
            "success",
            "<xml>",
            "<xml/>text",
            "<xml>only text</xml>",
            "[1]",
            "{",
            "{} {}",
            '{"a":' * 100_000,
            '{"a":' * 20 + "1" + "}" * 20,
            "<a>" * 50_000,
            "<a>" * 20 + "</a>" * 20,
            f"<xml>{'<a/>' * 5_000}</xml>",
            BOMB,
            QUADRATIC,
            '<!DOCTYPE xml [<!ENTITY a SYSTEM "file:///etc/hostname">]><xml><A>&a;</A></xml>',
            '<!DOCTYPE xml SYSTEM "http://127.0.0.1:9/x.dtd"><xml><A>1</A></xml>',
            '<!DOCTYPE xml [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd"> %p;]><xml><A>1</A></xml>',
            "<!DOCTYPE xml><xml><A>1</A></xml>",
            "<xml><A>&nbsp;</A></xml>",
            "<xml><A>&#0;</A></xml>",
            '<?xml version="1.0" encoding="x-none"?><xml><A>1</A></xml><',
            "<xml xmlns:a='b'><c:d/></xml>",
        ],
        ids=lambda body: body[:24],
    )
    def test_refuses(self, body: str) -> None:
        """What is no message, or could cost more than it brings, is refused without a word about it."""
        with pytest.raises(Unreadable) as caught:
            read(body.encode())

        assert "" == str(caught.value)

    @pytest.mark.parametrize("body", [BOMB, QUADRATIC, "<a>" * 300_000, f"<xml>{'<a/>' * 250_000}</xml>"])
    def test_memory(self, body: str) -> None:
        """A body that would grow takes no more memory than a few times its own size."""
        sent = body.encode()
        tracemalloc.start()
        try:
            with contextlib.suppress(Unreadable):
                read(sent)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert peak < 8 * len(sent) + 500_000

    @given(st.binary(max_size=300) | st.text().map(lambda text: f"<xml>{text}</xml>".encode("utf-8", "replace")))
    def test_any_bytes(self, body: bytes) -> None:
        """No bytes are an error of another kind."""
        with contextlib.suppress(Unreadable):
            read(body)

    def test_ten_thousand_bodies(self) -> None:
        """Nor are ten thousand that are nearly messages."""
        chance = random.Random(5)
        good = [
            b"<xml><ToUserName><![CDATA[gh]]></ToUserName><L><item>1</item></L></xml>",
            b'{"A":[1,{"B":"\\u4f60"}]}',
        ]
        for _ in range(10_000):
            body = bytearray(chance.choice(good))
            for _ in range(chance.randrange(1, 5)):
                body[chance.randrange(len(body))] = chance.randrange(256)
            with contextlib.suppress(Unreadable):
                read(bytes(body))


class TestWrite:
    @given(st.dictionaries(NAMES, LEAVES | st.dictionaries(NAMES, LEAVES, min_size=1), min_size=1))
    def test_xml_round_trip(self, fields: dict[str, Any]) -> None:
        """Every character that XML can carry comes back."""
        expected = {
            name: {k: readable(v) for k, v in value.items()} if isinstance(value, dict) else readable(value)
            for name, value in fields.items()
        }

        assert (expected, Format.XML) == read(write(fields, Format.XML))

    @given(st.dictionaries(NAMES, LEAVES, min_size=1))
    def test_json_round_trip(self, fields: dict[str, Any]) -> None:
        """Every character comes back."""
        assert (fields, Format.JSON) == read(write(fields, Format.JSON))

    @pytest.mark.parametrize("style", list(Format))
    @pytest.mark.parametrize("text", ["]]>", "]]]]>>", "a]]>b]]>c", "<![CDATA[x]]>", "&lt;&", "😀\U0010ffff", " x "])
    def test_hard_texts(self, text: str, style: Format) -> None:
        """The end of a CDATA section, markup and emoji are text like any other."""
        assert {"A": text} == read(write({"A": text}, style))[0]

    @pytest.mark.parametrize("style", list(Format))
    def test_halves_of_emoji(self, style: Format) -> None:
        """Half of an emoji, which UTF-8 has no bytes for, is replaced."""
        assert {"A": "a\ufffdb"} == read(write({"A": "a\ud83db"}, style))[0]

    def test_json_has_no_escapes(self) -> None:
        """Chinese is written as it is: WeChat shows the backslashes of an escape."""
        assert '{"A":"你"}'.encode() == write({"A": "你"}, Format.JSON)
        assert json.loads(write({"A": "\x0b"}, Format.JSON)) == {"A": "\x0b"}
