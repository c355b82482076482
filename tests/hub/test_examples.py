"""examples/hub/: the settings are read, and the files of systemd, Docker and Kubernetes fit them and the command."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.debian import find

from wxmiddleware.cli import _parser, main
from wxmiddleware.hub._config import GRACE, read_config

HUB = Path(__file__).parents[2] / "examples" / "hub"
SECRET = "0123456789abcdef0123456789abcdef"


def placed(text: str, room: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put settings beside files with what they refer to, in a folder of their own."""
    for path in re.findall(r'file = "(/run/[^"]+)"', text):
        (room / Path(path).name).write_text("file:tokens.json" if path.endswith("/store") else SECRET)
        (room / Path(path).name).chmod(0o440)
        text = text.replace(path, str(room / Path(path).name))
    for name, value in (("WXM_STORE", f"file:{room}/tokens.json"), ("WECOM_SECRET", SECRET)):
        monkeypatch.setenv(name, value)
    (room / "hub.toml").write_text(text, encoding="utf-8")
    return room / "hub.toml"


def manifests() -> dict[str, Any]:
    return {each["kind"]: each for each in yaml.safe_load_all((HUB / "kubernetes.yaml").read_text(encoding="utf-8"))}


def test_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = placed((HUB / "hub.toml").read_text(encoding="utf-8"), tmp_path, monkeypatch)

    assert 0 == main(["serve", str(path), "--check"])
    said = capsys.readouterr().out
    assert "account  crm (ww8a1b2c3d4e5f6a7b)" in said
    assert "caller   notify: 1 key" in said


def test_unit() -> None:
    """What systemd starts is a command of ours, and it waits for longer than the hub does."""
    unit = (HUB / "wxmiddleware-hub.service").read_text(encoding="utf-8")
    found = re.search("^ExecStart=(.+)$", unit, re.MULTILINE)
    wait = re.search("^TimeoutStopSec=([0-9]+)$", unit, re.MULTILINE)
    assert found is not None
    assert wait is not None
    options = _parser().parse_args(shlex.split(found[1])[1:])

    assert "/etc/wxmiddleware/hub.toml" == options.config
    assert int(wait[1]) > GRACE


@pytest.mark.servers
def test_unit_as_systemd_reads_it(tmp_path: Path) -> None:
    unit = (HUB / "wxmiddleware-hub.service").read_text(encoding="utf-8")
    (tmp_path / "hub.service").write_text(unit.replace("/opt/wxmiddleware/bin/wxmiddleware", "/bin/true"))
    command = [find("systemd-analyze", package="systemd"), "verify", str(tmp_path / "hub.service")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (0, "") == (done.returncode, done.stderr)


def test_image() -> None:
    """What the image starts is a command of ours, for a user that is not root."""
    lines = (HUB / "Dockerfile").read_text(encoding="utf-8").splitlines()
    said = dict(line.split(" ", 1) for line in lines if re.match("[A-Z]+ ", line))
    options = _parser().parse_args([*json.loads(said["ENTRYPOINT"])[1:], *json.loads(said["CMD"])])

    assert "/etc/wxmiddleware/hub.toml" == options.config
    assert int(said["USER"]) == manifests()["Deployment"]["spec"]["template"]["spec"]["securityContext"]["runAsUser"]


def test_kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings are read; ports, probes, mounts and times fit each other."""
    all_of_them = manifests()
    config = read_config(placed(all_of_them["ConfigMap"]["data"]["hub.toml"], tmp_path, monkeypatch))
    pod = all_of_them["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    secrets = next(each["secret"] for each in pod["volumes"] if "secret" in each)
    paths = re.findall(r'file = "([^"]+)/[^/"]+"', all_of_them["ConfigMap"]["data"]["hub.toml"])

    assert [each["containerPort"] for each in container["ports"]] == [each.port for each in config.listen]
    assert 2 == all_of_them["Deployment"]["spec"]["replicas"]
    assert ["/livez", "/readyz"] == [container[f"{name}Probe"]["httpGet"]["path"] for name in ("liveness", "readiness")]
    assert {mounts["secrets"]} == set(paths)
    assert not secrets["defaultMode"] & 0o007
    assert container["args"] == [f"{mounts['config']}/hub.toml"]
    before = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > config.grace + before
