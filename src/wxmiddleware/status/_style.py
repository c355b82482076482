"""The page's colours and its style sheet, and the policy that lets a browser load nothing else."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

# In light and in dark. What is read on what, and that it can be, tests compute from these.
COLOURS: Final = {
    "bg": ("#f6f7f8", "#14181b"),
    "card": ("#ffffff", "#1d2327"),
    "text": ("#1c2126", "#e7ebee"),
    "soft": ("#5b6670", "#9aa6af"),
    "line": ("#dfe3e6", "#313a40"),
    "good": ("#12753f", "#6fd49b"),
    "bad": ("#b3261e", "#ff8a80"),
    "warn": ("#8a5a00", "#f0c264"),
    "bar": ("#1e7d4c", "#45bd7d"),
    "bar2": ("#2a8f5b", "#3aac71"),
    "left": ("#cfebdc", "#1e4a34"),
    "space": ("#eef0f2", "#262d32"),
}
_LIGHT: Final = ";".join(f"--{name}:{light}" for name, (light, _) in COLOURS.items())
_DARK: Final = ";".join(f"--{name}:{dark}" for name, (_, dark) in COLOURS.items())

STYLE: Final = (
    f":root{{color-scheme:light dark;{_LIGHT}}}@media(prefers-color-scheme:dark){{:root{{{_DARK}}}}}"
    """
*{box-sizing:border-box}
body{margin:0;overflow-wrap:anywhere;background:var(--bg);color:var(--text);-webkit-text-size-adjust:100%;
font:16px/1.5 system-ui,-apple-system,"Segoe UI","PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif}
main{max-width:60rem;margin:0 auto;padding:1rem}
h1{font-size:1.35rem;line-height:1.35;margin:.5rem 0 1rem}
h2{font-size:1rem;margin:1.6rem 0 .5rem;color:var(--soft);font-weight:600}
.card{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.8rem 1rem;margin:0 0 .6rem}
.head{display:flex;flex-wrap:wrap;gap:0 .75rem;align-items:baseline;justify-content:space-between}
.head>*{min-width:0}
.name{font-weight:600}
.state{font-weight:600}
.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.soft{color:var(--soft);font-size:.85rem;font-weight:400}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(7.4rem,1fr));gap:.4rem 1rem;margin:.6rem 0 0}
@media(min-width:40rem){dl{grid-template-columns:repeat(auto-fill,minmax(9rem,1fr))}}
.wide{grid-column:span 2}dl.card{margin:0 0 .6rem}dl div{min-width:0}
dt{color:var(--soft);font-size:.8rem;line-height:1.3}
dd{margin:0;font-variant-numeric:tabular-nums;unicode-bidi:isolate}
p{margin:.4rem 0;unicode-bidi:isolate}
svg{display:block;width:100%;height:2.5rem;margin-top:.7rem}
.space{fill:var(--space)}.l0{fill:var(--bar)}.l1{fill:var(--bar2)}.left{fill:var(--left)}
line{vector-effect:non-scaling-stroke}
.ahead{stroke:var(--bar);stroke-width:1.5}.now{stroke:var(--text);stroke-width:2}
.rejected{stroke:var(--bad);stroke-width:5}.failed{stroke:var(--warn);stroke-width:5}
.axis{display:grid;grid-template-columns:repeat(3,31.25%) 6.25%;color:var(--soft);font-size:.75rem;line-height:1.2;
white-space:nowrap}
.axis span{justify-self:start;transform:translateX(-50%)}.axis span:first-child{transform:none}
.axis span:last-child{transform:translateX(-70%)}
ul{list-style:none;padding:0;margin:0}li{unicode-bidi:isolate}
li+li{border-top:1px solid var(--line);padding-top:.4rem;margin-top:.4rem}
time{color:var(--soft);font-size:.85rem;white-space:nowrap}
a{color:inherit}
"""
)
POLICY: Final = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)
