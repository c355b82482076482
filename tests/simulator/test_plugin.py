"""The pytest plugin, and what the simulator may import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest_wxmiddleware
import wxmiddleware.simulator
from wxmiddleware import Account
from wxmiddleware.simulator import SimulatorServer, WeChat

HERE = Path(wxmiddleware.simulator.__file__).parent


def test_plugin_loads_nothing() -> None:
    """Importing the plugin imports pytest and nothing of wxmiddleware."""
    code = "import sys, pytest_wxmiddleware; print([n for n in sys.modules if n.split('.')[0] == 'wxmiddleware'])"

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert result.stdout.strip() == "[]"


def test_fixtures_are_documented() -> None:
    """``pytest --fixtures`` has something to show for each."""
    for name in ("wechat_clock", "wechat", "wechat_server", "wechat_account", "wechat_pusher"):
        fixture = getattr(pytest_wxmiddleware, name)
        assert fixture.__doc__ or fixture._get_wrapped_function().__doc__


def test_account_fixture(wechat: WeChat, wechat_server: SimulatorServer, wechat_account: Account) -> None:
    """The account of the fixture is the simulated one."""
    assert wechat_account.appid == wechat.appid
    assert wechat_account.base_url == wechat_server.url


def test_independent_witness() -> None:
    """The simulator imports nothing of wxmiddleware but its exceptions, and little else: werkzeug, crypto, safe XML."""
    imported = set()
    for file in HERE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level <= 1, f"{file.name} reaches out of the simulator"
                if node.level == 0:
                    imported.add(str(node.module))
    foreign = {name for name in imported if name.split(".")[0] not in sys.stdlib_module_names | {"_typeshed"}}

    theirs = {name for name in foreign if name.split(".")[0] not in ("werkzeug", "cryptography", "defusedxml")}

    assert theirs == {"wxmiddleware.exceptions"}


def test_extra_is_optional() -> None:
    """The simulator is imported without what only a push needs."""
    code = "import sys, wxmiddleware.simulator; print({'cryptography', 'defusedxml'} & set(sys.modules))"

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert result.stdout.strip() == "set()"
