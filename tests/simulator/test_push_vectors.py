"""The simulator's crypto and XML against WeChat's own examples (docs/wechat.md#published-examples), both ways."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.webhooks import cipher, seal, unseal
from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.simulator import _xml
from wxmiddleware.simulator._seal import Seal, Unreadable, signature

SAMPLE_KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"


@dataclass(frozen=True)
class Vector:
    """One ciphertext that somebody else has made; `random` and `plain` where the page has them."""

    key: str
    receiver: str
    encrypted: str
    signed: tuple[str, str, str]
    signature: str
    plain: str
    random: str


V3 = Vector(
    "A" * 43,
    "wxba5fad812f8e6fb9",
    "+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxLKJGQqcvZqzDpVzazhZv6JsXUnnR"
    "8XGT740XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfMZuMcp3Fn2Pede2IuQrKEYwKSqFIZoNqJ4M8EajAsjLY2km3"
    "2IIjdf8YL/P50F7mStwntrA2cPDrM1kb6mOcfBgRtWygb3VIYnSeOBrebufAlr7F9mFUPAJGj04=",
    ("AAAAA", "1714112445", "415670741"),
    "046e02f8204d34f8ba5fa3b1db94908f3df2e9b3",
    '{"ToUserName":"gh_97417a04a28d","FromUserName":"o9AgO5Kd5ggOC-bXrbNODIiE3bGY","CreateTime":1714112445,'
    '"MsgType":"event","Event":"debug_demo","debug_str":"hello world"}',
    "a8eedb185eb2fecf",
)
V4 = Vector(
    "A" * 43,
    "wxba5fad812f8e6fb9",
    "ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ==",
    ("AAAAA", "1713424427", "415670741"),
    "1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1",
    '{"demo_resp":"good luck"}',
    "707722b803182950",
)
V5 = Vector(
    SAMPLE_KEY,
    "wx5823bf96d3bd56c7",
    "P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ==",
    ("QDG6eK", "1409659589", "263014780"),
    "5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3",
    "1616140317555161061",
    "",
)
V6 = Vector(
    SAMPLE_KEY,
    "wx5823bf96d3bd56c7",
    "RypEvHKD8QQKFhvQ6QleEB4J58tiPdvo+rtK1I9qca6aM/wvqnLSV5zEPeusUiX5L5X/0lWfrf0QADHHhGd3QczcdCUpj911L3vg3W/sYYvuJTs3"
    "TUUkSUXxaccAS0qhxchrRYt66wiSpGLYL42aM6A8dTT+6k4aSknmPj48kzJs8qLjvd4Xgpue06DOdnLxAUHzM6+kDZ+HMZfJYuR+LtwGc2hgf5gs"
    "ijff0ekUNXZiqATP7PF5mZxZ3Izoun1s4zG4LUMnvw2r+KqCKIw+3IQH03v+BCA9nMELNqbSf6tiWSrXJB3LAVGUcallcrw8V2t9EL4EhzJWrQUa"
    "x5wLVMNS0+rUPA3k22Ncx4XXZS9o0MBH27Bo6BpNelZpS+/uh9KsNlY6bHCmJU9p8g7m3fVKn28H3KDYA5Pl/T8Z1ptDAVe0lXdQ2YoyyH2uyPIG"
    "HBZZIs2pDBS8R07+qN+E7Q==",
    ("QDG6eK", "1409659813", "1372623149"),
    "477715d11cdb4164915debcba66cb864d751f3e6",
    "<xml><ToUserName><![CDATA[wx5823bf96d3bd56c7]]></ToUserName>\n<FromUserName><![CDATA[mycreate]]></FromUserName>\n"
    "<CreateTime>1409659813</CreateTime>\n<MsgType><![CDATA[text]]></MsgType>\n<Content><![CDATA[hello]]></Content>\n"
    "<MsgId>4561255354251345929</MsgId>\n<AgentID>218</AgentID>\n</xml>",
    "0960688932c47ef1",
)
V7 = Vector(
    "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
    "wxb11529c136998cb6",
    "jn1L23DB+6ELqJ+6bruv21Y6MD7KeIfP82D6gU39rmkgczbWwt5+3bnyg5K55bgVtVzd832WzZGMhkP72vVOfg==",
    ("pamtest", "1409304348", "xxxxxx"),
    "82c962d39941aa48552f90ef55aa323dc620cc10",
    "我是中文abcd123",
    "aaaabbbbccccdddd",
)
V8 = Vector(
    "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR",
    "wx49f0ab532d5d035a",
    "4ByGGj+sVCYcvGeQYhaKIk1o0pQRNbRjxybjTGblXrBaXlTXeOo1+bXFXDQQb1o6co6Yh9Bv41n7hOchLF6p+Q==",
    ("123456", "1411443780", "437374425"),
    "dd6b9c95b495b3f7e2901bfbc76c664930ffdb96",
    "5927782489442352469",
    "",
)
ENCRYPTED = {"V3": V3, "V4": V4, "V5": V5, "V6": V6, "V7": V7, "V8": V8}
KEY = "A" * 43


class TestVectors:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (("AAAAA", "1714036504", "1514711492"), "f464b24fc39322e44b38aa78f5edd27bd1441696"),
            (("AAAAA", "1714037059", "486452656"), "899cf89e464efb63f54ddac96b0a0a235f53aa78"),
            (("AAAAA", "1714112445", "415670741"), "6c5c811b55cc85e0e1b54100749188c20beb3f5d"),
        ],
        ids=["V1", "V2", "V3"],
    )
    def test_three_values(self, values: tuple[str, ...], expected: str) -> None:
        """Three values are signed as WeChat signs them."""
        assert expected == signature(*values)

    @pytest.mark.parametrize("vector", ENCRYPTED.values(), ids=ENCRYPTED)
    def test_four_values(self, vector: Vector) -> None:
        """Four values are signed as WeChat signs them."""
        assert vector.signature == signature(*vector.signed, vector.encrypted)

    @pytest.mark.parametrize("vector", ENCRYPTED.values(), ids=ENCRYPTED)
    def test_read(self, vector: Vector) -> None:
        """What WeChat has encrypted is read."""
        assert vector.plain == Seal(vector.key, vector.receiver).decrypt(vector.encrypted).decode()

    @pytest.mark.parametrize("name", [name for name, vector in ENCRYPTED.items() if vector.random])
    def test_written(self, name: str) -> None:
        """With WeChat's random bytes the ciphertext is WeChat's, byte for byte."""
        vector = ENCRYPTED[name]
        made = Seal(vector.key, vector.receiver).encrypt(vector.plain.encode(), vector.random.encode())

        assert vector.encrypted == made

    def test_xml(self) -> None:
        """Fields read from WeChat's XML are written as WeChat wrote them."""
        fields: dict[str, Any] = _xml.read(V6.plain.encode())
        numbers = {name: int(fields[name]) for name in ("CreateTime", "MsgId", "AgentID")}

        assert V6.plain == _xml.write({**fields, **numbers}).decode()


class TestSeal:
    @given(message=st.binary(max_size=300), receiver=st.text(max_size=40).filter(lambda text: text.isascii()))
    def test_round_trip(self, message: bytes, receiver: str) -> None:
        """Any message of any length comes back."""
        sealed = Seal(SAMPLE_KEY, receiver)

        assert message == sealed.decrypt(sealed.encrypt(message))

    @given(message=st.text(max_size=100), receiver=st.sampled_from(["", "wx1", "我"]))
    def test_agrees(self, message: str, receiver: str) -> None:
        """Another implementation reads what is written, and is read."""
        ours = Seal(KEY, receiver)

        assert message == unseal(ours.encrypt(message.encode()), receiver)
        assert message == ours.decrypt(seal(message, receiver)).decode()

    def test_new_random(self) -> None:
        """The same message is never encrypted to the same text."""
        assert Seal(KEY, "").encrypt(b"a") != Seal(KEY, "").encrypt(b"a")

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("", "multiple of 32"),
            ("not base64", "base64"),
            ("你", "base64"),
            (f"!{V4.encrypted}", "base64"),
            (V4.encrypted[:-4], "multiple of 32"),
            (seal("x" * 12, "", block=128), "multiple of 32"),
            (seal("x", "", aes_key=SAMPLE_KEY), "padding"),
            (seal("x", "wx2"), "receiver"),
        ],
    )
    def test_unreadable(self, text: str, why: str) -> None:
        """What cannot be read is told apart."""
        with pytest.raises(Unreadable, match=why):
            Seal(KEY, "").decrypt(text)

    @given(data=st.binary(min_size=32, max_size=96))
    def test_never_crashes(self, data: bytes) -> None:
        """Random bytes are unreadable and nothing worse."""

        with pytest.raises(Unreadable):
            Seal(KEY, "wx0123456789abcdef").decrypt(base64.b64encode(data).decode())

    @pytest.mark.parametrize(
        ("size", "pad", "why"),
        [(99, bytes([11]) * 11, "shorter"), (1, bytes(10) + b"\x0b", "padding"), (1, bytes(11), "padding")],
    )
    def test_lies(self, size: int, pad: bytes, why: str) -> None:
        """A length beyond the end is noticed, and padding of which only the last byte is right."""
        encryptor = cipher(KEY).encryptor()
        block = b"0123456789abcdef" + size.to_bytes(4, "big") + b"x" + pad
        text = base64.b64encode(encryptor.update(block) + encryptor.finalize()).decode()

        with pytest.raises(Unreadable, match=why):
            Seal(KEY, "").decrypt(text)

    @pytest.mark.parametrize("key", ["", "A" * 42, "A" * 44, "A" * 42 + "=", "A" * 42 + "你", None])
    def test_no_key(self, key: Any) -> None:
        """What is no EncodingAESKey is refused, and not shown."""
        with pytest.raises(ConfigurationError) as caught:
            Seal(key, "")

        assert "AAAA" not in str(caught.value)


LEGAL = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))


class TestXML:
    @given(LEGAL | st.sampled_from(["]]>", "]]]>", "]]>]]>", "a]]>b", "<xml>&amp;", "😀", "\t\n"]))
    def test_round_trip(self, text: str) -> None:
        """Any text that XML can hold comes back, the end of a CDATA section too."""
        assert {"Content": text} == _xml.read(_xml.write({"Content": text}))

    def test_nested(self) -> None:
        """Mappings and lists become elements in elements."""
        fields = {"Event": "pic_sysphoto", "SendPicsInfo": {"Count": 1, "PicList": [{"PicMd5Sum": "1b"}, "x"]}}
        read = _xml.read(_xml.write(fields))

        assert {"Count": "1", "PicList": [{"PicMd5Sum": "1b"}, "x"]} == read["SendPicsInfo"]

    @pytest.mark.parametrize("fields", [{"a b": "x"}, {"A": "\0"}, {"A": "\ud800"}, {"A": None}, {"1": "x"}])
    def test_not_written(self, fields: dict[str, Any]) -> None:
        """What XML cannot hold is refused."""
        with pytest.raises(ConfigurationError):
            _xml.write(fields)

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b"{}", "well-formed"),
            (b"<xml><a></xml>", "well-formed"),
            (b"<html></html>", "root"),
            (b"\xff<xml/>", "well-formed"),
            (b'<?xml version="1.0" encoding="klingon"?><xml/>', "XML"),
            (b'<!DOCTYPE xml [<!ENTITY a "b">]><xml><A>&a;</A></xml>', "nobody should read"),
            (b"<!DOCTYPE xml><xml/>", "nobody should read"),
        ],
    )
    def test_not_read(self, data: bytes, why: str) -> None:
        """What is no such XML is told apart, and an entity is never expanded."""
        with pytest.raises(ValueError, match=why):
            _xml.read(data)

    @given(st.binary(max_size=200))
    def test_never_crashes(self, data: bytes) -> None:
        """Random bytes are a ValueError and nothing worse."""
        with pytest.raises(ValueError):
            _xml.read(data)
