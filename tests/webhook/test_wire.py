"""Bodies to fields, and what is refused on the way."""

from __future__ import annotations

import contextlib
import json
import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wxmiddleware.webhook import _cdata
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


def pushed(**fields: str) -> str:
    """What WeChat makes of what a user has typed: it escapes nothing."""
    parts = [f"<{name}><![CDATA[{value}]]></{name}>" for name, value in fields.items()]
    return "<xml>" + "\n".join(parts) + "\n<MsgId>24</MsgId>\n</xml>"


HEAD = {"ToUserName": "gh_1", "FromUserName": "oAda", "MsgType": "text"}
TYPED = [
    "]]>",
    "a]]>b",
    "]]]]>>",
    "x]]]",
    "<![CDATA[a]]>",
    "<![CDATA[<![CDATA[]]>]]>",
    "<xml><a><![CDATA[x]]></a><status>1</status></xml>",
    "]]></Content>",
    "]]></Content></xml>",
    "]]></Content></xml><xml>",
    "]]></Other> ]]></Content >",
    "]]><!DOCTYPE a [<!ENTITY b 'c'>]>&b;",
    "]]></Content>" * 50,
    "]]>" * 1000,
    pushed(**HEAD, Content="hi"),
    pushed(**HEAD, Content=pushed(**HEAD, Content="hi")) * 5,
]


class TestUsersXml:
    """A user types the end of a CDATA section, and WeChat lets it through."""

    @pytest.mark.parametrize("typed", TYPED, ids=lambda typed: typed[:24])
    def test_read(self, typed: str) -> None:
        """It is text like any other, whatever looks like a message in it."""
        assert {**HEAD, "Content": typed, "MsgId": "24"} == read(pushed(**HEAD, Content=typed).encode())[0]

    def test_several(self) -> None:
        """Also in several fields."""
        fields = {"Title": "a]]>b", "Description": "<b><![CDATA[c]]></b>", "Url": "]]>", "Label": ""}

        assert {**fields, "MsgId": "24"} == read(pushed(**fields).encode())[0]

    def test_nested(self) -> None:
        """Also in nested ones, of which there are many."""
        items = "".join(f"<item><Title><![CDATA[{each}]]></Title><N>1</N><E/></item>" for each in ("a]]>b", "c", "]]>"))
        body = f"<?xml version='1.0'?><xml><Articles>{items}</Articles><Content><![CDATA[d]]>e]]></Content></xml>"
        found = [{"Title": each, "N": "1", "E": ""} for each in ("a]]>b", "c", "]]>")]

        assert {"Articles": {"item": found}, "Content": "d]]>e"} == read(body.encode())[0]

    @pytest.mark.parametrize(
        "typed",
        [
            "x]]></Content><Content><![CDATA[y",
            "x]]></Content><MsgId>9</MsgId><Content><![CDATA[y",
            "x]]></Content><Event><![CDATA[subscribe]]></Event><Content><![CDATA[y",
            "x]]></Content><FromUserName><![CDATA[oBob]]></FromUserName><Content><![CDATA[y",
            "]]><MsgId>9</MsgId><![CDATA[",
            "x]]>y<![CDATA[z",
            "x]]>&amp;<![CDATA[y",
            "x]]><!-- y --><![CDATA[z",
        ],
    )
    def test_no_fields_of_a_users(self, typed: str) -> None:
        """Who types the end of a field and the beginning of another makes no field."""
        assert {**HEAD, "Content": typed, "MsgId": "24"} == read(pushed(**HEAD, Content=typed).encode())[0]

    def test_escaped(self) -> None:
        """Who writes XML with care splits the section there: that is read as any parser does."""
        assert {"Content": "a]]>b"} == read(b"<xml><Content><![CDATA[a]]]]><![CDATA[>b]]></Content></xml>")[0]

    def test_lists(self) -> None:
        """What WeChat has repeated is a list, as always."""
        assert {"A": ["1", "2"]} == read(b"<xml><A><![CDATA[1]]></A><A><![CDATA[2]]></A></xml>")[0]

    @pytest.mark.parametrize("body", ["<xml><Content>1</Content><Content>2</Content></xml>"])
    def test_twice(self, body: str) -> None:
        """Nor is it lost what cannot be read otherwise."""
        assert {"Content": ["1", "2"]} == read(body.encode())[0]

    @pytest.mark.parametrize(
        "body",
        [
            "<xml>" + "<A><![CDATA[" * 20_000,
            "<xml>" + "<A><![CDATA[x]]></A>]]></A>" * 9_000,
            "<xml>" + "<A>" * 20_000 + "]]>",
            "<xml><A><![CDATA[" + "]]></A>" * 30_000,
            "<xml><A><![CDATA[" + "]]></A><A><![CDATA[" * 15_000,
            "<xml>" + "".join(f"<A{n}><![CDATA[" for n in range(15_000)) + "]]></A>",
            "<xml><A>]]></A></xml>",
            "<A><![CDATA[]]>]]></A>",
            "<xml></A>]]>",
            "<xml><A><![CDATA[a]]>b]]></A></xml><xml/>",
            "<!DOCTYPE xml [<!ENTITY a 'b'>]><xml><A><![CDATA[a]]>b]]></A><B>&a;</B></xml>",
            "<xml>" + "<A>" * 12 + "<B><![CDATA[]]>]]></B>" + "</A>" * 12 + "</xml>",
        ],
        ids=lambda body: body[:24],
    )
    def test_refuses(self, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is none of WeChat's messages is refused, and costs no more than a few readings."""
        steps = 0
        step = _cdata._step

        def counted(*args: Any) -> Any:
            nonlocal steps
            steps += 1
            return step(*args)

        monkeypatch.setattr(_cdata, "_step", counted)
        with pytest.raises(Unreadable):
            read(body.encode())

        assert steps < 10_000


class TestHalves:
    @pytest.mark.parametrize("escape", ["\\ud83d", "\\uD83D", "\\ude00\\ud83d", "\\ud83d x \\ude00"])
    def test_json(self, escape: str) -> None:
        """Half of an emoji in an escape costs that half, in keys and lists, too; a whole one stays."""
        fields, _ = read(f'{{"a{escape}": ["\\ud83d\\ude00{escape}", {{"b": "{escape}", "c": 1}}]}}'.encode())
        text = json.dumps(fields, ensure_ascii=False)

        assert text.encode()
        assert "😀" in text
        assert "\ufffd" in text

    def test_no_escape(self) -> None:
        """A backslash before it makes none of it."""
        assert {"A": "\\ud83d"} == read(rb'{"A": "\\ud83d"}')[0]


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
