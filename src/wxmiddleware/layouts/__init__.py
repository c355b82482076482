"""
Layouts: where and how programs in other languages keep a token.

Each is read to follow the program that owns the token (`LayoutToken`), and written where we own it (``mirrors=`` of
`TokenProvider`), so that the other program need not be changed. The clients are yours: a layout of Redis takes a
``redis.Redis``, one of memcached a ``pymemcache.Client``, the table an SQLAlchemy engine.

Those named after an article are for a PHP class that an article of 2017 shows and many sites use: it asks
``/cgi-bin/token`` when a page is viewed, and keeps the token for an hour in MySQL, in memcached or in a file.
"""

from __future__ import annotations

from ._layout import Kept, Layout
from ._source import LayoutToken
from .article import ArticleFile, ArticleMemcached, ArticleTable
from .easywechat import EasyWeChatRedis
from .node import CoWechatApiFile
from .plain import PlainMemcached, PlainRedis
from .wechatpy import WechatpyMemcached, WechatpyRedis
from .wxjava import WxJavaRedis

__all__ = [
    "ArticleFile",
    "ArticleMemcached",
    "ArticleTable",
    "CoWechatApiFile",
    "EasyWeChatRedis",
    "Kept",
    "Layout",
    "LayoutToken",
    "PlainMemcached",
    "PlainRedis",
    "WechatpyMemcached",
    "WechatpyRedis",
    "WxJavaRedis",
]
