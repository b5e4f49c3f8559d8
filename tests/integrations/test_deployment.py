"""The files in deploy/: that they are what they are for, and that their parts fit each other."""

from __future__ import annotations

import argparse
import copy
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from fastapi.testclient import TestClient

from rapid import Settings
from rapid.agent.configuration import Configuration
from rapid.agent.sources import configures
from rapid.cli.agent import configure, given

from .clusters import ROOT, defined_by, programs

DEPLOY = ROOT / "deploy"
RELEASES = ["1.29", "1.31", "1.33", kubernetes_validate.latest_version()]

Resource = dict[str, Any]


@pytest.fixture
def manifest() -> dict[str, Resource]:
    """What the manifest has, by kind."""
    text = (DEPLOY / "kubernetes" / "rapid.yaml").read_text(encoding="utf-8")
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


@pytest.fixture
def pod(manifest: dict[str, Resource]) -> Resource:
    found: Resource = manifest["StatefulSet"]["spec"]["template"]
    return found


@pytest.fixture
def container(pod: Resource) -> Resource:
    (only,) = pod["spec"]["containers"]
    found: Resource = only
    return found


def argument(container: Resource, name: str) -> str:
    (value,) = [a.partition("=")[2] for a in container["args"] if a.startswith(f"--{name}=")]
    return str(value)


@pytest.mark.parametrize("release", RELEASES)
def test_the_manifest_is_what_kubernetes_takes(manifest: dict[str, Resource], release: str) -> None:
    assert set(manifest) == {"Service", "StatefulSet", "PodDisruptionBudget", "NetworkPolicy"}
    for resource in manifest.values():
        kubernetes_validate.validate(resource, release, strict=True)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["replicas"], "three"),
        (["replicaz"], 3),
        (["template", "spec", "containers", 0, "readinessProbe", "httpGet"], {"path": "/ready"}),
        (["template", "spec", "containers", 0, "ports", 0, "containerPort"], "rapid"),
        (["podManagementPolicy"], None),
    ],
)
def test_a_mistake_in_it_would_be_found(
    manifest: dict[str, Resource], path: list[str | int], value: object
) -> None:
    spoilt = copy.deepcopy(manifest["StatefulSet"])
    part: Any = spoilt["spec"]
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    if value is None:
        del spoilt["spec"]["selector"]  # and so would be what is missing
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(spoilt, RELEASES[-1], strict=True)


def test_all_is_about_the_same_pods(manifest: dict[str, Resource], pod: Resource) -> None:
    labels = pod["metadata"]["labels"]
    specs = {kind: resource["spec"] for kind, resource in manifest.items()}
    (peers,) = rules_for("rapid", manifest)
    selectors = [
        {"matchLabels": specs["Service"]["selector"]},
        specs["StatefulSet"]["selector"],
        specs["PodDisruptionBudget"]["selector"],
        specs["NetworkPolicy"]["podSelector"],
        peers["from"][0]["podSelector"],
        pod["spec"]["topologySpreadConstraints"][0]["labelSelector"],
    ]
    assert all(selector == {"matchLabels": labels} for selector in selectors)


def test_every_port_that_is_named_exists(manifest: dict[str, Resource], container: Resource) -> None:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {
        "rapid": int(argument(container, "listen").rpartition(":")[2]),
        "admin": int(argument(container, "admin").rpartition(":")[2]),
    }
    (service,) = manifest["Service"]["spec"]["ports"]
    assert service["port"] == ports[service["targetPort"]]
    rules = manifest["NetworkPolicy"]["spec"]["ingress"]
    assert {port["port"] for rule in rules for port in rule["ports"]} == set(ports)
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "admin"
    paths = [container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")]
    assert paths == ["/livez", "/readyz"]


def rules_for(port: str, manifest: dict[str, Resource]) -> list[Resource]:
    rules = manifest["NetworkPolicy"]["spec"]["ingress"]
    return [rule for rule in rules if port in [each["port"] for each in rule["ports"]]]


@pytest.mark.parametrize("port", ["rapid", "admin"])
def test_no_port_is_open_to_all(port: str, manifest: dict[str, Resource]) -> None:
    (rule,) = rules_for(port, manifest)
    (source,) = rule["from"]
    # of this namespace, and only with a label
    assert set(source) == {"podSelector"}
    assert source["podSelector"]["matchLabels"]


def test_pods_speak_tls(
    manifest: dict[str, Resource], pod: Resource, container: Resource, tmp_path: Path
) -> None:
    pytest.importorskip(
        "cryptography", reason="the package cryptography, which makes certificates, is missing"
    )
    from rapid.cli.authority import Authority, alternative_names

    (mount,) = container["volumeMounts"]
    (volume,) = pod["spec"]["volumes"]
    assert (mount["name"], mount["readOnly"]) == (volume["name"], True)
    assert "subPath" not in mount
    # readable for the group that the container's user is in, and for nobody else
    assert volume["secret"]["defaultMode"] == 0o440
    assert pod["spec"]["securityContext"]["fsGroup"] == pod["spec"]["securityContext"]["runAsGroup"]
    name = argument(container, "tls-server-name")
    made = Authority.found_in(tmp_path).certify(name, alternative_names([name]), 1)
    files = {"tls-ca": made.ca, "tls-certificate": made.certificate, "tls-key": made.key}
    for option in files:
        assert argument(container, option).startswith(f"{mount['mountPath']}/")
    # and the agent takes all that the manifest gives it
    arguments = [text for text in container["args"][1:] if text.partition("=")[0][2:] not in files]
    arguments += [f"--{option}={file}" for option, file in files.items()]
    for variable in ("POD_IP", "NODE_NAME"):
        arguments = [text.replace(f"$({variable})", "10.0.0.7") for text in arguments]
    parser = argparse.ArgumentParser()
    configure(parser)
    configuration = Configuration(**given(parser.parse_args(arguments)))
    assert configuration.cluster() is not None
    keys = {argument(container, option).rpartition("/")[2] for option in files}
    header = (DEPLOY / "kubernetes" / "rapid.yaml").read_text(encoding="utf-8").partition("apiVersion")[0]
    assert all(f"--from-file={key}" in header for key in keys)
    assert f"generic {volume['secret']['secretName']} " in header


def test_the_limits_have_room_for_what_an_agent_may_take(container: Resource) -> None:
    resources = container["resources"]
    assert resources["requests"]["memory"] == "64Mi"
    # 256 MiB under attack, and one message of 64 MiB
    assert int(resources["limits"]["memory"].removesuffix("Mi")) >= 256 + 64
    assert _section(_unit(), "Service")["MemoryMax"] == resources["limits"]["memory"].replace("Mi", "M")


def test_the_container_has_no_rights(pod: Resource, container: Resource) -> None:
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    assert not pod["spec"]["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_pods_find_each_other_before_they_are_ready(
    manifest: dict[str, Resource], container: Resource
) -> None:
    service, pods = manifest["Service"], manifest["StatefulSet"]["spec"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"]
    port = service["spec"]["ports"][0]["port"]
    assert argument(container, "seed-dns") == f"{service['metadata']['name']}:{port}"
    assert pods["serviceName"] == service["metadata"]["name"]
    assert pods["podManagementPolicy"] == "Parallel"
    assert 3 <= int(argument(container, "bootstrap-expect")) <= pods["replicas"]
    variables = set(re.findall(r"\$\((\w+)\)", " ".join(container["args"])))
    assert variables <= {variable["name"] for variable in container["env"]}


def test_a_pod_has_the_time_to_leave(
    manifest: dict[str, Resource], pod: Resource, container: Resource
) -> None:
    # the command, and then the signal, if the command was in vain
    assert pod["spec"]["terminationGracePeriodSeconds"] > 2 * Settings.lan().leave_timeout
    rapid, leave, admin = container["lifecycle"]["preStop"]["exec"]["command"]
    assert (rapid, leave) == ("rapid", "leave")
    assert admin.rpartition(":")[2] == argument(container, "admin").rpartition(":")[2]
    assert manifest["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_the_agent_knows_what_is_asked_of_it(container: Resource) -> None:
    source = "".join(file.read_text(encoding="utf-8") for part in ("agent", "cli") for file in _python(part))
    asked = [argument.partition("=")[0] for argument in container["args"] if argument.startswith("--")]
    asked += [container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")]
    asked += re.findall(r"(--[\w-]+)", _section(_unit(), "Service")["ExecStart"])
    unknown = [what for what in asked if f'"{what}"' not in source]
    assert unknown == [], "the agent does not have these: change it, or deploy/ and this test"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (named,) = re.findall(r"/source\[(.*)\]", (DEPLOY / "Containerfile").read_text())
    assert set(named.split(",")) <= set(extras)


def _python(package: str) -> Iterator[Path]:
    return (ROOT / "rapid" / package).glob("*.py")


# the image


def test_the_image_has_all_that_is_installed() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text(encoding="utf-8").split()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    # what a build of the package reads
    assert kept == {"pyproject.toml", "rapid", project["readme"], *project["license-files"]}
    assert re.search(r"^USER [1-9]", text, re.MULTILINE)


# systemd


def _unit() -> str:
    return (DEPLOY / "systemd" / "rapid-agent.service").read_text(encoding="utf-8")


def _section(unit: str, name: str) -> dict[str, str]:
    body = unit.partition(f"[{name}]\n")[2].partition("\n[")[0]
    return dict(line.split("=", 1) for line in body.splitlines() if "=" in line and not line.startswith("#"))


def verified(unit: str, folder: Path) -> str:
    """What systemd has to say against it. The program is another one: ours need not be installed there."""
    file = folder / "rapid-agent.service"
    file.write_text(unit.replace("/opt/rapid/bin/rapid", str(shutil.which("true"))), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, check=False
    )
    # it also speaks of the machine's own units
    return "\n".join(line for line in done.stderr.splitlines() if file.name in line)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")
def test_the_unit_is_what_systemd_takes(tmp_path: Path) -> None:
    assert verified(_unit(), tmp_path) == ""
    assert "Bogus" in verified(_unit().replace("Type=exec", "Type=exec\nBogus=yes"), tmp_path)
    assert "rapid-agent" in verified(_unit().replace("RestartSec=5s", "RestartSec=soon"), tmp_path)


def test_the_unit_s_tls_is_what_the_agent_reads() -> None:
    text = (DEPLOY / "systemd" / "rapid-agent.service.d" / "tls.conf").read_text(encoding="utf-8")
    loaded = re.findall(r"^LoadCredential=([\w.]+):/etc/rapid/tls/\1$", text, re.MULTILINE)
    variables = dict(re.findall(r"(RAPID_\w+)=(\S+)", text))
    assert [value for value in variables.values() if value.startswith("%d/")] == [
        f"%d/{one}" for one in loaded
    ]
    assert all(configures(name) for name in variables)
    assert {"RAPID_TLS_CA", "RAPID_TLS_CERTIFICATE", "RAPID_TLS_KEY"} <= set(variables)


def test_the_unit_has_the_time_to_leave() -> None:
    service = _section(_unit(), "Service")
    assert int(service["TimeoutStopSec"].removesuffix("s")) > Settings.lan().leave_timeout
    assert service["Restart"] == "on-failure"


# the guide


def test_the_guide_s_container_is_what_kubernetes_takes(manifest: dict[str, Resource]) -> None:
    (part,) = programs("kubernetes.md", "yaml")
    pods = copy.deepcopy(manifest["StatefulSet"])
    pods["spec"]["template"]["spec"]["containers"] = yaml.safe_load(part)["containers"]
    kubernetes_validate.validate(pods, RELEASES[-1], strict=True)


def test_the_guide_s_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_IP", "127.0.0.1")
    guide = defined_by("kubernetes.md")
    # not served: three of them would have to be
    client = TestClient(guide["app"])
    assert client.get("/livez").json() == {"state": "joining", "live": True, "ready": False}
    assert client.get("/readyz").status_code == 503
