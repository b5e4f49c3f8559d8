"""Arguments win over variables, variables over the file; what is wrong is named with where it was written."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rapid import MetadataError, Settings, SettingsError
from rapid.agent.configuration import Configuration
from rapid.agent.sources import configured, configures, written_in

pytest.importorskip(
    "pydantic_settings", reason="the package pydantic-settings, which reads files and variables, is missing"
)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if configures(name):
            monkeypatch.delenv(name)


def file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "agent.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


WHOLE = """
listen = "10.0.0.1:7400"
advertise = "node-1:7400"
seeds = ["10.0.0.2:7400", "10.0.0.3:7400"]
bootstrap_expect = 3
cluster_name = "cache"
cluster_id = "00112233445566778899aabbccddeeff"
rejoin = false
merge = true
tls_ca = "ca.pem"
tls_certificate = "node.pem"
tls_key = "node.key"
tls_mutual = false
tls_verify_address = true
tls_server_name = "rapid.example"
admin = "7480"
admin_token = "secret"

[metadata]
role = "cache"

[settings]
base = "wan"
probe_interval = 4
window = 20
"""


def test_a_whole_file(tmp_path: Path) -> None:
    made = configured({}, file(tmp_path, WHOLE))
    assert made == Configuration(
        listen="10.0.0.1:7400",
        advertise="node-1:7400",
        seeds=("10.0.0.2:7400", "10.0.0.3:7400"),
        bootstrap_expect=3,
        cluster_name="cache",
        cluster_id="00112233445566778899aabbccddeeff",
        rejoin=False,
        merge=True,
        tls_ca="ca.pem",
        tls_certificate="node.pem",
        tls_key="node.key",
        tls_mutual=False,
        tls_verify_address=True,
        tls_server_name="rapid.example",
        admin="7480",
        admin_token="secret",
        metadata={"role": "cache"},
        settings={"base": "wan", "probe_interval": 4.0, "window": 20},
    )
    assert made.as_settings() == Settings.wan(probe_interval=4.0, window=20)
    assert "secret" not in repr(made)


def test_every_source_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = file(
        tmp_path,
        'listen = "file:1"\nadvertise = "file:2"\ncluster_id = "ff"\n'
        '[metadata]\nrole = "file"\nzone = "file"\nrack = "file"\n'
        "[settings]\nwindow = 5\nfailures = 1\nprobe_retry = 0.5\n",
    )
    monkeypatch.setenv("RAPID_LISTEN", "variable:1")
    monkeypatch.setenv("RAPID_ADVERTISE", "variable:2")
    monkeypatch.setenv("RAPID_METADATA", "role=variable,zone=variable")
    monkeypatch.setenv("RAPID_SETTINGS__WINDOW", "6")
    monkeypatch.setenv("RAPID_SETTINGS__FAILURES", "2")
    arguments = {"listen": "argument:1", "metadata": {"role": "argument"}, "settings": {"window": 7}}
    made = configured(arguments, written)
    assert (made.listen, made.advertise, made.cluster_id) == ("argument:1", "variable:2", "ff")
    assert made.metadata == {"role": "argument", "zone": "variable", "rack": "file"}
    assert made.settings == {"window": 7, "failures": 2, "probe_retry": 0.5}


@pytest.mark.parametrize(
    ("arguments", "variable", "found"),
    [
        ({}, ("RAPID_TLS_MUTUAL", "false"), ("tls_mutual", False)),
        ({}, ("RAPID_TLS_VERIFY_ADDRESS", "true"), ("tls_verify_address", True)),
        ({}, ("RAPID_TLS_SERVER_NAME", "rapid.example"), ("tls_server_name", "rapid.example")),
        ({"tls_mutual": True}, ("RAPID_TLS_MUTUAL", "false"), ("tls_mutual", True)),
    ],
)
def test_the_variables_of_tls(
    arguments: dict[str, Any],
    variable: tuple[str, str],
    found: tuple[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(*variable)
    assert getattr(configured(arguments), found[0]) == found[1]


def test_the_variable_that_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPID_CONFIG", file(tmp_path, 'listen = "file:1"'))
    assert configured({}).listen == "file:1"


@pytest.mark.parametrize(
    ("arguments", "variable", "found"),
    [
        ({}, None, ("seed_dns", "file:1")),
        ({}, ("RAPID_SEEDS", "a:1, b:2"), ("seeds", ("a:1", "b:2"))),
        ({"seed_file": "f"}, ("RAPID_SEEDS", "a:1"), ("seed_file", "f")),
    ],
)
def test_the_first_source_that_names_seeds_says_how(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    variable: tuple[str, str] | None,
    found: tuple[str, Any],
) -> None:
    if variable is not None:
        monkeypatch.setenv(*variable)
    made = configured(arguments, file(tmp_path, 'seed_dns = "file:1"'))
    ways = {name: getattr(made, name) for name in ("seeds", "seed_dns", "seed_srv", "seed_file")}
    assert [(name, value) for name, value in ways.items() if value] == [found]


def test_one_pair_of_metadata_adds_to_the_others_of_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPID_METADATA", "role=cache,zone=a")
    monkeypatch.setenv("RAPID_METADATA__RACK", "r=1")
    monkeypatch.setenv("RAPID_METADATA__ZONE", "b")
    assert configured({}).metadata == {"role": "cache", "zone": "b", "rack": "r=1"}


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Configuration)])
def test_every_field_has_a_variable(name: str) -> None:
    assert configures(f"RAPID_{name.upper()}")
    assert not configures(name.upper())


@pytest.mark.parametrize("name", ["RAPID_TEST_RUN", "RAPID_PORT", "RAPID_SERVICE_HOST", "RAPID", "RAPID_"])
def test_variables_of_others(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "tcp://10.0.0.1:7400")
    assert configured({"listen": "a:1"}) == Configuration(listen="a:1")


@pytest.mark.parametrize(
    ("variable", "value", "error"),
    [
        ("RAPID_SETTINGS__WINDOW", "ten", "settings.window: Input should be a valid integer"),
        ("RAPID_SETTINGS__SPEED", "9", "settings.speed: no such field; there are k, h, l, "),
        ("RAPID_SETTINGS__BASE", "moon", "settings.base: Input should be 'lan', 'wan' or "),
        ("RAPID_BOOTSTRAP_EXPECT", "many", "bootstrap_expect: Input should be a valid integer"),
        ("RAPID_METADATA", "role", "metadata: 'role' is no KEY=VALUE, such as role=cache"),
        ("RAPID_REJOIN", "perhaps", "rejoin: Input should be a valid boolean"),
    ],
)
def test_a_bad_variable_is_named(
    variable: str, value: str, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as problem:
        configured({"listen": "a:1"})
    assert str(problem.value).startswith(error)
    assert str(problem.value).endswith(f"({variable})")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('lisden = "a:1"', "lisden: no such field; there are listen, advertise, "),
        ("listen = 7400", "listen: Input should be a valid string, not 7400"),
        ("seeds = ['a:1', 3]", "seeds.1: Input should be a valid string, not 3"),
        ("[metadata]\nweight = 2", "metadata.weight: Input should be a valid string, not 2"),
        ("[settings]\nspeed = 9", "settings.speed: no such field; there are k, h, l, "),
        ("[settings]\nwindow = 2.5", "settings.window: Input should be a valid integer"),
    ],
)
def test_a_bad_field_of_the_file_is_named(tmp_path: Path, text: str, error: str) -> None:
    path = file(tmp_path, text)
    with pytest.raises(SettingsError) as problem:
        configured({}, path)
    assert str(problem.value).startswith(error)
    assert str(problem.value).endswith(f"({path})")


LONG = "x" * 100_000


@pytest.mark.parametrize(
    ("text", "variable", "value", "argument"),
    [
        ('cluster_id = "zz"', "RAPID_CLUSTER_ID", "zz", {"cluster_id": "zz"}),
        ('seeds = ["a"]', "RAPID_SEEDS", "a", {"seeds": ("a",)}),
        ("[settings]\nwindow = 0", "RAPID_SETTINGS__WINDOW", "0", {"settings": {"window": 0}}),
        (f'[metadata]\nrole = "{LONG}"', "RAPID_METADATA", f"role={LONG}", {"metadata": {"role": LONG}}),
    ],
    ids=["cluster_id", "seeds", "window", "metadata"],
)
def test_a_value_that_makes_no_sense_is_traced(
    text: str,
    variable: str,
    value: str,
    argument: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = file(tmp_path, text)

    def traced(arguments: dict[str, Any]) -> str:
        with pytest.raises((SettingsError, MetadataError)) as problem:
            configured({"listen": "a:1"} | arguments, path).cluster()
        return written_in(problem.value, arguments, path)

    assert traced({}) == path
    assert traced(argument) == ""
    monkeypatch.setenv(variable, value)
    assert traced({}) == variable
    assert traced(argument) == ""


def test_a_value_that_is_missing_is_from_nowhere() -> None:
    with pytest.raises(SettingsError) as problem:
        configured({}).cluster()
    assert written_in(problem.value, {}) == ""


def test_a_token_of_the_wrong_kind_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as problem:
        configured({}, file(tmp_path, "admin_token = 12345"))
    assert "12345" not in str(problem.value)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"config: cannot read {tmp_path / 'no'}: No such file"):
        configured({}, str(tmp_path / "no"))
    with pytest.raises(SettingsError, match="is no TOML: "):
        configured({}, file(tmp_path, "listen ="))


def test_arguments_alone_load_no_library() -> None:
    program = (
        "import sys; import rapid.agent.service, rapid.cli.remote;"
        "from rapid.agent.sources import configured; configured({'listen': 'a:1'});"
        "print(sorted({'pydantic', 'starlette', 'uvicorn', 'grpc'} & set(sys.modules)))"
    )
    environment = {name: value for name, value in os.environ.items() if not configures(name)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "[]\n"
