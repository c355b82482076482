"""The object that co-wechat-api and its like hand to ``saveToken``, as their documentation keeps it in a file."""

from __future__ import annotations

import json

from ..sources._http import number
from ._files import JSONFile
from ._layout import Kept

_MARGIN = 10.0  # seconds that it ends before the token


class CoWechatApiFile(JSONFile):
    """
    A file with ``{"accessToken", "expireTime"}``, such as ``access_token.txt``.

    It is replaced as a whole; owner and mode of a file that is there stay.

    Args:
        path: The file. Its directory must be there.
        mode: Who may read and write a new file. By default our own user only; if Node has another, give it the group of
            the directory (``chmod g+s``) and say ``0o640``.

    Raises:
        ConfigurationError: The path is none, or the mode lets every user write.
    """

    def read(self) -> Kept | None:
        """Read the file."""
        found = self.load()
        value, end = found.get("accessToken"), number(found.get("expireTime"))
        if not isinstance(value, str) or not value:
            return None
        return Kept(value, None if end is None else end / 1000 + _MARGIN)

    def write(self, value: str, expires_at: float) -> None:
        """Replace the file."""
        self.replace(json.dumps({"accessToken": value, "expireTime": int((expires_at - _MARGIN) * 1000)}))
