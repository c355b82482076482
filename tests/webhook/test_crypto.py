"""Signatures and encryption, against WeChat's published examples and other libraries."""

from __future__ import annotations

import base64
import contextlib
import struct
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher as Aes
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from hypothesis import given
from hypothesis import strategies as st
from missing import without

from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.webhook._crypto import Cipher, Undecipherable
from wxmiddleware.webhook._signature import sign, signer

from .vectors import KEY_A, SEALED, V3, V3_TEXT, V4, V5, V7, V8, Sealed

NAMES = [one.name for one in SEALED]


def raw(block: bytes, key: str = KEY_A) -> str:
    """Encrypt a block as it is."""
    secret = base64.b64decode(key + "=")
    encryptor = Aes(algorithms.AES(secret), modes.CBC(secret[:16])).encryptor()
    return base64.b64encode(encryptor.update(block) + encryptor.finalize()).decode()


def block(
    message: bytes = b"hello", receiver: bytes = b"wx1", length: int | None = None, pad: int | None = None
) -> bytes:
    """A plain block; with a length or a pad that is not its own."""
    inner = b"r" * 16 + struct.pack(">I", len(message) if length is None else length) + message + receiver
    right = 32 - len(inner) % 32
    return inner + bytes([right if pad is None else pad]) * right


class TestSignature:
    @pytest.mark.parametrize(
        ("expected", "words"),
        [
            ("f464b24fc39322e44b38aa78f5edd27bd1441696", ("1714036504", "1514711492")),  # V1
            ("899cf89e464efb63f54ddac96b0a0a235f53aa78", ("1714037059", "486452656")),  # V2
            ("6c5c811b55cc85e0e1b54100749188c20beb3f5d", ("1714112445", "415670741")),  # V3, three values
        ],
    )
    def test_of_three_values(self, expected: str, words: tuple[str, str]) -> None:
        """WeChat's examples of a plain signature come out."""
        assert expected == sign("AAAAA", *words)

    @pytest.mark.parametrize("sealed", SEALED, ids=NAMES)
    def test_of_four_values(self, sealed: Sealed) -> None:
        """The examples with a ciphertext come out."""
        assert sealed.signature == sign(sealed.token, sealed.timestamp, sealed.nonce, sealed.encrypt)

    def test_negative_example(self) -> None:
        """WeChat's example of a wrong nonce is refused."""
        assert signer((V8.token,), V8.signature, V8.timestamp, "437374424", V8.encrypt) is None

    def test_finds_the_token(self) -> None:
        """While a token is being replaced, both are good, and it is known which one signed."""
        signature = sign("old", "1", "2")

        assert "old" == signer(("new", "old"), signature, "1", "2")

    @given(st.text(), st.text())
    def test_any_words(self, given: str, nonce: str) -> None:
        """No signature and no word of a stranger is an error."""
        assert signer(("token",), given, "1", nonce) is None


class TestVectors:
    @pytest.mark.parametrize("sealed", SEALED, ids=NAMES)
    def test_read(self, sealed: Sealed) -> None:
        """Each example is decrypted, for the receiver that it names."""
        message, receiver = Cipher(sealed.aes_key).decrypt(sealed.encrypt)

        assert sealed.appid == receiver
        assert sealed.length == len(message)

    @pytest.mark.parametrize("sealed", SEALED, ids=NAMES)
    def test_written(self, sealed: Sealed) -> None:
        """Each example is encrypted to the same text, given its random bytes."""
        secret = base64.b64decode(sealed.aes_key + "=")
        decryptor = Aes(algorithms.AES(secret), modes.CBC(secret[:16])).decryptor()
        plain = decryptor.update(base64.b64decode(sealed.encrypt)) + decryptor.finalize()
        cipher = Cipher(sealed.aes_key)
        message, receiver = cipher.decrypt(sealed.encrypt)

        assert sealed.encrypt == cipher.encrypt(message, receiver, head=plain[:16])

    @pytest.mark.parametrize(
        ("expected", "sealed"),
        [
            (V3_TEXT, V3),
            ('{"demo_resp":"good luck"}', V4),
            ("1616140317555161061", V5),
            ("我是中文abcd123", V7),
            ("5927782489442352469", V8),
        ],
    )
    def test_texts(self, expected: str, sealed: Sealed) -> None:
        """The texts are those that WeChat prints."""
        assert expected == Cipher(sealed.aes_key).decrypt(sealed.encrypt)[0].decode()

    @pytest.mark.parametrize(
        ("sealed", "head", "text"),
        [
            (V3, b"a8eedb185eb2fecf", V3_TEXT),
            (V4, b"707722b803182950", '{"demo_resp":"good luck"}'),
            (V7, b"aaaabbbbccccdddd", "我是中文abcd123"),
        ],
    )
    def test_random_bytes_as_printed(self, sealed: Sealed, head: bytes, text: str) -> None:
        """With the random bytes that are printed, the printed text comes out."""
        assert sealed.encrypt == Cipher(sealed.aes_key).encrypt(text.encode(), sealed.appid, head=head)


class TestCipher:
    @given(st.binary(max_size=300), st.text(st.characters(codec="utf-8"), max_size=40))
    def test_round_trip(self, message: bytes, receiver: str) -> None:
        """Any message of any length, for any receiver, comes back."""
        cipher = Cipher(KEY_A)

        assert (message, receiver) == cipher.decrypt(cipher.encrypt(message, receiver))

    def test_every_pad(self) -> None:
        """All thirty-two paddings occur, and each can be read."""
        cipher = Cipher(KEY_A)

        assert [(b"x" * n, "") for n in range(32)] == [cipher.decrypt(cipher.encrypt(b"x" * n, "")) for n in range(32)]

    def test_never_twice_the_same(self) -> None:
        """A message that is encrypted twice looks different."""
        cipher = Cipher(KEY_A)

        assert cipher.encrypt(b"hello", "wx1") != cipher.encrypt(b"hello", "wx1")

    def test_right_block(self) -> None:
        """The blocks that the next test spoils are good before."""
        assert (b"hello", "wx1") == Cipher(KEY_A).decrypt(raw(block()))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "====",
            "a",
            "%%%%",
            "汉字",
            base64.b64encode(b"x" * 16).decode(),  # half a block
            base64.b64encode(b"x" * 31).decode(),
            raw(block(pad=0)),
            raw(block(pad=33)),
            raw(block(length=9)),  # would reach into the padding
            raw(block(length=2**32 - 1)),
            raw(block(receiver=b"\xff")),
            raw(block()[:-2] + b"\0" + block()[-1:]),  # a padding that is not uniform
            raw(b"r" * 27 + b"\5" * 5),
            raw(b"r" * 16 + struct.pack(">I", 3) + b"x" * 11 + b"\x21" * 33),
        ],
    )
    def test_refuses(self, text: str) -> None:
        """What was not made like this is refused."""
        with pytest.raises(Undecipherable):
            Cipher(KEY_A).decrypt(text)

    def test_line_breaks(self) -> None:
        """Base64 in lines is read."""
        text = raw(block())

        assert (b"hello", "wx1") == Cipher(KEY_A).decrypt(f"\n{text[:30]}\r\n {text[30:]}\n")

    @given(st.binary(max_size=200))
    def test_any_bytes(self, sealed: bytes) -> None:
        """No bytes are an error of another kind."""
        with contextlib.suppress(Undecipherable):
            Cipher(KEY_A).decrypt(base64.b64encode(sealed).decode())


class TestKey:
    @pytest.mark.parametrize("key", [sealed.aes_key for sealed in SEALED])
    def test_published(self, key: str) -> None:
        """Published keys are taken, though three of four are no canonical base64."""
        assert Cipher(key).decrypt(Cipher(key).encrypt(b"", ""))

    @pytest.mark.parametrize(
        ("key", "told"),
        [
            (KEY_A + "=", "Leave that off"),
            ("SECRET", "has 6 characters"),
            ("SECRET" + "A" * 36 + " ", "other characters"),
            ("SECRET" + "A" * 36 + "é", "other characters"),
            ("SECRET" + "A" * 36 + "+", "other characters"),
            ("SECRET" + "A" * 37 + "\n", "has 44 characters"),
            (b"SECRET" + b"A" * 37, "must be a str"),
        ],
    )
    def test_wrong(self, key: Any, told: str) -> None:
        """What is wrong with a key is said, and the key is not."""
        with pytest.raises(ConfigurationError, match=told) as caught:
            Cipher(key)

        assert "SECRET" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_without_cryptography(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the package for it, the error names the extra."""
        without("cryptography", monkeypatch)

        with pytest.raises(ImportError, match=r"wxmiddleware\[webhook\]"):
            Cipher(KEY_A)

    def test_silent(self) -> None:
        """Its repr shows nothing of the key."""
        assert "Cipher object" in repr(Cipher(KEY_A))
