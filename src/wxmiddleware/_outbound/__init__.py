"""
A call to WeChat that carries a token, and the one retry when that token was rejected.

- `retry`: the rule itself, as a generator that does no I/O;
- `arguments`: what a retry needs of a call's arguments, such as files that have to be rewound;
- `answers`: whether an answer says that the token was rejected, and `bodies`: how to read it without harm;
- `errors`: an answer with an errcode, raised as `APIError`;
- `scope`: to which URLs a token may go; `auth` and `httpx`: what the clients' auth classes share.
"""
