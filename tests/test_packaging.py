"""What is shipped, and what an import costs."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata, resources
from pathlib import Path
from types import ModuleType

import pytest

import wxmiddleware

SHY = [
    "flask",
    "fastapi",
    "django",
    "httpx",
    "httpx2",
    "wechatpy",
    "werobot",
    "trio",
    "prometheus_client",
    "rich",
    "gevent",
    "redis",
    "sqlalchemy",
    "pymemcache",
    "cryptography",
    "defusedxml",
]
# What `import wxmiddleware` may load besides the standard library: its dependencies, and theirs.
LOADED = {"anyio", "cachetools", "certifi", "charset_normalizer", "idna", "requests", "sniffio", "typing_extensions"}
LOADED |= {"urllib3", "wxmiddleware"}
LOADED |= {"socks"}  # requests loads PySocks where it is installed
HEAVY = ["ctypes", "multiprocessing", "sqlite3", "unittest", "xml", "http.server", "pydoc", "pdb", "distutils"]
MOST_MODULES = 390  # of everybody's; it is 350 with Python 3.11
# Four of them are the packages' own docstrings. What of the engine can be read and tested alone is a file of its own:
# the circuit breaker, the way to the store, the ledger of rejections, the table of decisions, the registry; so is what
# drives the generators of both the engine and the retries, what a test passes in the place of clocks, how a record is
# copied, what is measured, whose token it is, and of the sources the base class that is for users, too, and what waits
# in time for what cannot be cancelled.
MOST_OF_OURS = 59
INTEGRATIONS = {
    "wsgi": [],
    "asgi": [],
    "decorators": [],
    "sources": [],
    "stores": [],
    "stores.memory": [],
    "exceptions": [],
    "jssdk": [],
    "masking": [],
    "platform": [],
    "suite": [],
    "pool": [],
    "starlette": [],
    "flask": ["flask"],
    "fastapi": ["fastapi"],
    # In plain mode nothing is encrypted.
    "webhook": ["defusedxml"],
    "webhook.wsgi": ["defusedxml"],
    "webhook.asgi": ["defusedxml"],
    "webhook.flask": ["flask", "defusedxml"],
    "webhook.starlette": ["defusedxml"],
    "requests": [],
    "httpx": ["httpx", "rich"],  # for its command line
    "httpx2": ["httpx2"],
    "prometheus": ["prometheus_client"],
    "otel": [],  # nothing shy: OpenTelemetry's packages are loaded by frameworks as well
    "contrib": [],
    "contrib.wechatpy": ["wechatpy", "cryptography"],
    "contrib.werobot": ["werobot"],
}


def modules() -> list[str]:
    """Every module of the package, save those that run as a program when they are imported."""
    walked = pkgutil.walk_packages(wxmiddleware.__path__, "wxmiddleware.", onerror=lambda _: None)
    return sorted(one.name for one in walked if not one.name.endswith("__main__"))


REPORT = """
import json, sys, threading
print(json.dumps({"modules": sorted(sys.modules), "threads": [thread.name for thread in threading.enumerate()]}))
"""
FORKS = """
import json, os, sys
import wxmiddleware
for code in sys.stdin:
    child = os.fork()
    if not child:
        exec(json.loads(code), {})
        sys.exit()
    print(os.waitpid(child, 0)[1], flush=True)
"""
Loaded = dict[str, list[str]]


def after(code: str) -> Loaded:
    """Run `code` in a fresh interpreter and tell which modules it has loaded and which threads it has started."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code + REPORT], capture_output=True, text=True, timeout=60, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
    loaded: Loaded = json.loads(done.stdout)
    return loaded


@pytest.fixture(scope="module")
def after_ours() -> Iterator[Callable[[str], Loaded]]:
    """
    Run code, each in a fork of an interpreter that has done ``import wxmiddleware``, and tell the same as `after`.

    It is what importing any module of ours does first, and takes longer than most of the modules.
    """
    command = [sys.executable, "-W", "error", "-c", FORKS]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        told, said = parent.stdin, parent.stdout

        def run(code: str) -> Loaded:
            print(json.dumps(code + REPORT), file=told, flush=True)
            lines = [said.readline()]
            while lines[-1] and not lines[-1].strip().isdigit():
                lines.append(said.readline())
            *printed, status = lines
            assert ("0\n", 1) == (status, len(printed)), "".join(printed)
            loaded: Loaded = json.loads(printed[0])
            return loaded

        yield run


def of(names: list[str], loaded: list[str]) -> list[str]:
    return [name for name in names if name in loaded]


def with_all() -> list[ModuleType]:
    found = [importlib.import_module(name) for name in modules() if "._" not in name]
    return [module for module in (wxmiddleware, *found) if hasattr(module, "__all__")]


@pytest.mark.parametrize("module", with_all(), ids=lambda module: module.__name__)
class TestAll:
    def test_sorted(self, module: ModuleType) -> None:
        """Public names are listed once, in order."""
        assert sorted(set(module.__all__)) == list(module.__all__)

    def test_real(self, module: ModuleType) -> None:
        """Every public name is there."""
        assert [] == [name for name in module.__all__ if not hasattr(module, name)]

    def test_documented(self, module: ModuleType) -> None:
        """Every public class and function has a docstring."""
        public = {name: getattr(module, name) for name in module.__all__}
        speaking = {name: one for name, one in public.items() if inspect.isclass(one) or inspect.isroutine(one)}

        assert [] == [name for name, one in speaking.items() if not one.__doc__]


def test_fixed_names() -> None:
    """The names that the design has fixed are where it says."""
    from wxmiddleware.asgi import TokenMiddleware as ASGIMiddleware
    from wxmiddleware.sources import ClassicToken, StableToken
    from wxmiddleware.stores.memory import MemoryStore
    from wxmiddleware.wsgi import TokenMiddleware as WSGIMiddleware

    fixed = {"Account", "TokenProvider", "with_token", "current_token"}
    assert fixed <= set(wxmiddleware.__all__)
    assert all(callable(one) for one in (ASGIMiddleware, WSGIMiddleware, ClassicToken, StableToken, MemoryStore))


def test_typed() -> None:
    """Type checkers are told that the package has annotations."""
    assert resources.files("wxmiddleware").joinpath("py.typed").is_file()


def test_built_for_everybody() -> None:
    """The package and the pytest plugin are what a wheel is made of, and pytest finds the plugin."""
    project = (Path(__file__).parent.parent / "pyproject.toml").read_text()
    plugins = {one.name: one.value for one in metadata.entry_points(group="pytest11")}

    assert 'only-include = ["src/wxmiddleware", "src/pytest_wxmiddleware.py"]' in project
    assert plugins["wxmiddleware"] == "pytest_wxmiddleware"


def test_version() -> None:
    """The installed distribution has a version."""
    assert metadata.version("wxmiddleware")


class TestImports:
    def test_core_is_light(self) -> None:
        """``import wxmiddleware`` loads no framework that the user may not have, and no simulator."""
        loaded = after("import wxmiddleware")["modules"]

        assert [] == of([*SHY, "wxmiddleware.simulator", "wxmiddleware.wsgi", "wxmiddleware.asgi", "pytest"], loaded)

    def test_core_loads_no_more_than_it_did(self) -> None:
        """``import wxmiddleware`` loads what it is known to, and nothing heavy."""
        before, after_it = set(after("")["modules"]), set(after("import wxmiddleware")["modules"])
        new = after_it - before
        packages = {name.partition(".")[0] for name in new} - sys.stdlib_module_names
        compiled = {name for name in packages if "cython" in name or name.endswith("__mypyc")}

        assert packages - compiled <= LOADED
        assert [] == of(HEAVY, sorted(new))
        assert len(new) <= MOST_MODULES
        assert len([name for name in new if name.partition(".")[0] == "wxmiddleware"]) <= MOST_OF_OURS

    def test_plugin_is_light(self) -> None:
        """The pytest plugin loads nothing of ours before a fixture is used."""
        assert [] == of(["wxmiddleware", "werkzeug", "requests"], after("import pytest_wxmiddleware")["modules"])

    @pytest.mark.parametrize("name", INTEGRATIONS)
    def test_alone(self, after_ours: Callable[[str], Loaded], name: str) -> None:
        """Each integration is imported alone, and loads only the framework that it is for."""
        if any(importlib.util.find_spec(needed) is None for needed in INTEGRATIONS[name]):
            pytest.skip(f"{INTEGRATIONS[name]} is not installed")
        loaded = after_ours(f"import wxmiddleware.{name}")["modules"]

        assert INTEGRATIONS[name] == of(SHY, loaded)
        assert "wxmiddleware.simulator" not in loaded

    @pytest.mark.parametrize("name", ["requests", "httpx", "httpx2", "flask", "fastapi", "starlette"])
    def test_no_shadow(self, after_ours: Callable[[str], Loaded], name: str) -> None:
        """A module of ours that is named after a library does not stand in its place."""
        code = f"import wxmiddleware.{name}, {name}\nassert {name} is not wxmiddleware.{name}, {name}\n"
        code += f"from wxmiddleware import {name} as ours\nassert ours.__name__ == 'wxmiddleware.{name}'\n"

        assert name in after_ours(code)["modules"]

    @pytest.mark.parametrize(
        ("name", "library", "install"),
        [
            ("httpx", "httpx", "wxmiddleware[httpx]"),
            ("httpx2", "httpx2", "wxmiddleware[httpx2]"),
            ("contrib.wechatpy", "wechatpy", "wechatpy>=1.8"),
            ("contrib.werobot", "werobot", "WeRoBot>=1.13"),
            ("stores.redis", "redis", "wxmiddleware[redis]"),
            ("stores.memcached", "pymemcache", "wxmiddleware[memcached]"),
            ("stores.sql", "sqlalchemy", "wxmiddleware[sql]"),
            ("stores.encrypted", "cryptography", "wxmiddleware[crypto]"),
            ("testing", "pytest", "pytest"),
            ("prometheus", "prometheus_client", "wxmiddleware[prometheus]"),
            ("otel", "opentelemetry", "wxmiddleware[otel]"),
            ("webhook", "defusedxml", "wxmiddleware[webhook]"),
        ],
    )
    def test_missing_library(self, after_ours: Callable[[str], Loaded], name: str, library: str, install: str) -> None:
        """Without its library, a module says what to install, and no more."""
        code = f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\nfrom missing import Missing\n"
        code += f"sys.meta_path.insert(0, Missing({library!r}))\n"
        code += f"try:\n    import wxmiddleware.{name}\nexcept ImportError as error:\n    problem = error\n"
        code += f"text = \"This needs {library}. Install it with: pip install '{install}'\"\n"
        code += "assert str(problem) == text, problem\nassert problem.__suppress_context__\n"

        assert after_ours(code)

    @pytest.mark.parametrize("name", ["httpx._client", "sqlalchemy.engine", "cryptography.fernet", "redis.backoff"])
    def test_broken_library(self, after_ours: Callable[[str], Loaded], name: str) -> None:
        """Of a library that is there and lacks something its own error is told, not that it is missing."""
        ours = {"sqlalchemy": "stores.sql", "cryptography": "stores.encrypted", "redis": "stores.redis"}
        library = name.partition(".")[0]
        code = f"import sys\nsys.modules[{name!r}] = None\n"
        code += f"try:\n    import wxmiddleware.{ours.get(library, library)}\n"
        code += "except ImportError as error:\n    problem = error\n"
        code += f"assert problem.name == {name!r}, problem\nassert 'pip install' not in str(problem), problem\n"

        assert after_ours(code)

    def test_nothing_starts(self) -> None:
        """Importing everything starts no thread; making a provider starts none, either."""
        code = "".join(f"import {name}\n" for name in modules() if not name.startswith("wxmiddleware.simulator"))
        code += "import wxmiddleware as w\nprovider = w.TokenProvider(w.Account('wx1', 'secret'))\n"

        assert ["MainThread"] == after(code)["threads"]

    def test_simulator_needs_none_of_the_client(self) -> None:
        """The simulator shares no code with what it judges, save the errors and the package's own door."""
        code = (
            "import sys, types\n"
            "package = types.ModuleType('wxmiddleware')\n"
            f"package.__path__ = {list(wxmiddleware.__path__)!r}\n"
            "sys.modules['wxmiddleware'] = package\n"
            "import wxmiddleware.simulator\n"
        )
        loaded = [name for name in after(code)["modules"] if name.startswith("wxmiddleware.")]

        assert ["wxmiddleware.exceptions"] == [name for name in loaded if not name.startswith("wxmiddleware.simulator")]
