"""
Read the body of a response without taking it from the caller, who reads it afterwards.

Handed over are the bytes of a body that may be one of WeChat's error answers: all of it, at most `LIMIT` bytes, or
nothing. What the response holds in memory is looked at where it lies. Of a body that still streams only the beginning
is fetched, and no further than it takes to see that it is no JSON object or is longer than `LIMIT`; then it is put
back, so that whoever reads the response afterwards gets every byte, and a connection that broke meanwhile breaks there.

What is marked as a file is nobody's error, whatever is in it: a member of a corp may send a file that reads
``{"errcode":42001}``, and `media/get` gives it back byte for byte, with ``Content-Disposition: attachment``. The type
of the content marks nothing: errors have come as ``image/jpeg`` (docs/wechat.md#how-errors-arrive).

Known are the responses of requests, httpx, httpx2, werkzeug (Flask's is one) and starlette. They are told by their
names, so that no client is imported for the sake of a question about it. Two kinds of streams are left alone: those of
werkzeug and starlette, where reading runs the application's own code, and a stream of the other colour, which could
be read only by blocking an event loop.
"""

from __future__ import annotations

import io
import re
import sys
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final
from weakref import WeakKeyDictionary

# Bytes. WeChat's error answers have some 200; its longest errmsg quotes two URLs.
LIMIT: Final = 64 * 1024

_WHITESPACE: Final = b" \t\r\n"
_FILE: Final = re.compile(r"""(?:^|[;,])[\s"']*(?:attachment[\s"']*(?:$|[;,])|filename\*?[\s]*=)""", re.IGNORECASE)
_BOM: Final = b"\xef\xbb\xbf"
_FAMILIES: Final = {
    ("requests", "Response"): "requests",
    ("httpx", "Response"): "httpx",
    ("httpx2", "Response"): "httpx",
    ("werkzeug", "Response"): "werkzeug",
    ("starlette", "Response"): "starlette",
}
_seen: WeakKeyDictionary[type, str | None] = WeakKeyDictionary()
_rejoined_classes: dict[type, Any] = {}


def body_of(answer: object) -> bytes | None:
    """Get the body of a response, reading the beginning of a stream if that can be done without an event loop."""
    family = _family(type(answer))
    if family is None or is_file(answer):
        return None
    match family:
        case "requests":
            return _body_of_requests(answer)
        case "httpx":
            return _body_of_httpx(answer)
        case "werkzeug":
            return _body_of_werkzeug(answer)
        case "starlette":
            return _short(getattr(answer, "body", None))
    return None


async def abody_of(answer: object) -> bytes | None:
    """Get the body of a response, reading the beginning of a stream if that does not block the event loop."""
    family = _family(type(answer))
    if family is None or is_file(answer):
        return None
    match family:
        case "requests":
            return _short(getattr(answer, "_content", None))
        case "httpx":
            return await _abody_of_httpx(answer)
    return body_of(answer)


def whole_body_of(answer: object) -> bytes | None:
    """
    Get all of the body of a response if it is in memory, however long; else what `body_of` gets.

    Raises:
        TypeError: It streams in the other colour, or cannot be looked at for another reason, which the text says.
    """
    held = _held(answer)
    if held is not None:
        return held
    if _streams(answer, "AsyncByteStream") and not _streams(answer, "SyncByteStream"):
        raise TypeError(
            "This response has not been read yet. Write: await response.aread(), or await araise_for_errcode(response)."
        )
    return _looked_at(answer, body_of(answer))


async def awhole_body_of(answer: object) -> bytes | None:
    """Get the body of a response. Like `whole_body_of`, and never blocks the event loop."""
    held = _held(answer)
    if held is not None:
        return held
    if not _streams(answer, "AsyncByteStream"):
        raise TypeError("This response has not been read yet, and reading it would block the event loop.")
    return _looked_at(answer, await abody_of(answer))


def is_response(answer: object) -> bool:
    """Tell whether this is a response that can be looked into."""
    return _family(type(answer)) is not None


def _held(response: Any) -> bytes | None:
    """Get the body that a response holds in memory; ``None`` if it streams and was not read yet."""
    family = _family(type(response))
    if family == "werkzeug":
        if response.direct_passthrough or not response.is_sequence:
            raise TypeError("This response streams what the application makes. Look at that before it is sent.")
        return bytes(response.get_data())
    if family == "starlette":
        if not isinstance(getattr(response, "body", None), bytes):
            raise TypeError("This response streams what the application makes. Look at that before it is sent.")
        return bytes(response.body)
    if isinstance(held := getattr(response, "_content", None), bytes):
        return held
    if getattr(response, "_content_consumed", False) or getattr(response, "is_stream_consumed", False):
        raise TypeError("This response was streamed to somebody else already. Look at it before.")
    if getattr(response, "is_closed", False):
        raise TypeError("This response was closed before it was read.")
    if not Head.can_unpack(response.headers):
        raise TypeError("This response streams, packed in a way that is not undone here. Read it, then look at it.")
    return None


def _looked_at(response: Any, body: bytes | None) -> bytes | None:
    head = getattr(getattr(response, "raw", None) or getattr(response, "stream", None), "wxmiddleware_head", None)
    if head is not None and head.failure is not None:
        raise head.failure
    if body is None and head is None and not Head.too_long(response.headers):
        raise TypeError("This response was read in part, or is no stream of its client's own. Look at it before.")
    return body


def discard(answer: object) -> None:
    """Give back the connection of a response that nobody is going to see."""
    streaming = getattr(answer, "_content", None) is False and _family(type(answer)) == "requests"
    if streaming or _streams(answer, "SyncByteStream"):
        answer.close()  # type: ignore[attr-defined]  # a response, told by its name


async def adiscard(answer: object) -> None:
    """Give back the connection of a response that nobody is going to see."""
    if _streams(answer, "AsyncByteStream"):
        await answer.aclose()  # type: ignore[attr-defined]  # a response, told by its name
    else:
        discard(answer)


def is_file(response: Any) -> bool:
    """Tell whether a response is marked as a file: ``attachment``, or anything with a file's name."""
    disposition = response.headers.get("content-disposition")
    if not isinstance(disposition, str):
        return False
    return _FILE.search(disposition) is not None


def may_be_object(text: bytes) -> bool:
    """Tell whether this is, or may yet become, a JSON object: nothing or ``{`` after whitespace."""
    text = text.removeprefix(_BOM).lstrip(_WHITESPACE)
    return not text or text.startswith(b"{")


def _family(cls: type) -> str | None:
    try:
        return _seen[cls]
    except KeyError:
        names = ((base.__module__.partition(".")[0], base.__name__) for base in cls.__mro__)
        family = _seen[cls] = next((_FAMILIES[name] for name in names if name in _FAMILIES), None)
        return family


def _short(body: object) -> bytes | None:
    return body if isinstance(body, bytes) and len(body) <= LIMIT else None


class Head:
    """The beginning of a body as it comes off the wire, gathered until it is plain that it is no error answer."""

    def __init__(self, encoding: str) -> None:
        self.chunks: list[bytes] = []
        self.failure: Exception | None = None
        self._size = 0
        self._text = b""
        self._complete = False
        # 47: zlib finds out by itself whether it is gzip or zlib.
        self._unpack = zlib.decompressobj(47) if encoding else None

    @staticmethod
    def of(headers: Any) -> Head | None:
        """Begin with a body, unless its headers say that it is too long, or packed in a way that is not undone here."""
        if Head.too_long(headers) or not Head.can_unpack(headers):
            return None
        encoding = headers.get("content-encoding", "").strip().lower()
        return Head("" if encoding == "identity" else encoding)

    @staticmethod
    def too_long(headers: Any) -> bool:
        """Tell whether a body says that it is longer than an error answer."""
        length = headers.get("content-length", "")
        return bool(length.isdecimal() and len(length) < 20 and int(length) > LIMIT)

    @staticmethod
    def can_unpack(headers: Any) -> bool:
        """Tell whether a body is packed in a way that is undone here, if in any."""
        return headers.get("content-encoding", "").strip().lower() in ("", "identity", "gzip", "x-gzip", "deflate")

    def wants_more(self, chunk: bytes) -> bool:
        """Take the next bytes, which are kept in any case."""
        self.chunks.append(chunk)
        self._size += len(chunk)
        try:
            self._text += self._unpack.decompress(chunk, LIMIT + 1) if self._unpack else chunk
        except zlib.error:
            return False
        return self._size <= LIMIT and len(self._text) <= LIMIT and may_be_object(self._text)

    def end(self) -> None:
        """Nothing follows."""
        self._complete = True

    def body(self) -> bytes | None:
        """Get the body if it is all there; what is cut short is no answer."""
        return self._text if self._complete else None


# requests


def _body_of_requests(response: Any) -> bytes | None:
    content = getattr(response, "_content", None)
    if content is not False or response._content_consumed:
        return _short(content)
    raw = response.raw
    # Anything but urllib3's own, or read already by the caller: not ours to touch.
    if not hasattr(raw, "read1") or not hasattr(raw, "release_conn") or raw.closed or raw.tell():
        return None
    head = Head.of(raw.headers)
    if head is None:
        return None
    try:
        # Undecoded, so that urllib3 can decode it for the caller; read1, so that nobody waits for more than has come.
        while chunk := raw.read1(LIMIT, decode_content=False):
            if not head.wants_more(chunk):
                break
        else:
            head.end()
    except Exception as error:
        head.failure = error
    if head.chunks or head.failure:
        response.raw = _put_back(head, raw)
    return head.body()


def _put_back(head: Head, raw: Any) -> Any:
    import urllib3

    put_back: Any = urllib3.HTTPResponse(
        body=_Rejoined(head, raw),
        headers=raw.headers,
        status=raw.status,
        version=raw.version,
        reason=raw.reason,
        preload_content=False,
        decode_content=raw.decode_content,
        original_response=raw._original_response,
        msg=raw.msg,
        retries=raw.retries,
        request_method=getattr(raw, "_request_method", None),
        request_url=raw.url,
    )
    put_back.wxmiddleware_head = head
    return put_back


class _Rejoined(io.BufferedIOBase):
    """The bytes that were fetched, then the rest of the stream they came from."""

    def __init__(self, head: Head, rest: Any) -> None:
        self._start = io.BytesIO(b"".join(head.chunks))
        self._failure = head.failure
        self._rest = rest

    def read(self, size: int | None = -1, /) -> bytes:
        everything = size is None or size < 0
        data = self._start.read(None if everything else size)
        if everything or not data:
            data += self._following("read", None if everything else size)
        if everything:
            self.close()
        return data

    def read1(self, size: int = -1, /) -> bytes:
        return self._start.read(size) or self._following("read1", size)

    def close(self) -> None:
        if not self.closed:
            self._rest.close()
        super().close()

    def _following(self, how: str, size: int | None) -> bytes:
        if self._failure is not None:
            raise self._failure
        data: bytes = b"" if self.closed else getattr(self._rest, how)(size, decode_content=False)
        if not data:
            # As http.client does at the end of a body: urllib3 asks until its source is closed.
            self.close()
        return data


# httpx and httpx2


def _body_of_httpx(response: Any) -> bytes | None:
    if not _streams(response, "SyncByteStream"):
        return _short(getattr(response, "_content", None))
    head = Head.of(response.headers)
    if head is None:
        return None
    chunks = iter(response.stream)
    try:
        for chunk in chunks:
            if not head.wants_more(chunk):
                break
        else:
            head.end()
    except Exception as error:
        head.failure = error
    response.stream = _rejoined(response, "SyncByteStream")(head, chunks, response.stream)
    return head.body()


async def _abody_of_httpx(response: Any) -> bytes | None:
    if not _streams(response, "AsyncByteStream"):
        return _short(getattr(response, "_content", None))
    head = Head.of(response.headers)
    if head is None:
        return None
    chunks = aiter(response.stream)
    try:
        async for chunk in chunks:
            if not head.wants_more(chunk):
                break
        else:
            head.end()
    except Exception as error:
        head.failure = error
    response.stream = _rejoined(response, "AsyncByteStream")(head, chunks, response.stream)
    return head.body()


def _library_of(response: Any) -> Any:
    family = next(base for base in type(response).__mro__ if base.__name__ == "Response")
    return sys.modules[family.__module__.partition(".")[0]]


def _streams(response: Any, kind: str) -> bool:
    """Tell whether the body has not been read yet and can be read in this colour."""
    if _family(type(response)) != "httpx" or response.is_stream_consumed or response.is_closed:
        return False
    return isinstance(response.stream, getattr(_library_of(response), kind))


def _rejoined(response: Any, kind: str) -> Any:
    """Get the class for what is put back: httpx takes only streams of its own classes."""
    base = getattr(_library_of(response), kind)
    if base not in _rejoined_classes:
        _rejoined_classes[base] = type("_Rejoined", (_RejoinedChunks, base), {})
    return _rejoined_classes[base]


class _RejoinedChunks:
    """The chunks that were fetched, then the rest of the stream they came from; in the colour of that stream."""

    def __init__(self, head: Head, rest: Any, stream: Any) -> None:
        self._head = self.wxmiddleware_head = head
        self._rest = rest
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        yield from self._start()
        yield from self._rest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._start():
            yield chunk
        async for chunk in self._rest:
            yield chunk

    @property
    def elapsed(self) -> Any:
        # Where httpx2 looks for how long a response took.
        return getattr(self._stream, "elapsed", None)

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        # An unfinished generator that nobody closes is reported by trio.
        if hasattr(self._rest, "aclose"):
            await self._rest.aclose()
        await self._stream.aclose()

    def _start(self) -> Iterator[bytes]:
        yield from self._head.chunks
        if self._head.failure is not None:
            raise self._head.failure


# werkzeug


def _body_of_werkzeug(response: Any) -> bytes | None:
    if response.direct_passthrough or not response.is_sequence:
        return None
    size = response.calculate_content_length()
    return bytes(response.get_data()) if size is not None and size <= LIMIT else None
