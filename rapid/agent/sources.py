"""Where an agent's configuration is written: arguments win over ``RAPID_*`` variables, those over a file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from rapid.agent.configuration import BASES, KINDS, SEEDS, Configuration
from rapid.errors import MetadataError, SettingsError

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_settings import BaseSettings

PREFIX = "RAPID_"
FILE = f"{PREFIX}CONFIG"
"""The variable that names the file, where no argument does."""
NESTED = "__"
"""In a variable's name, before the name of a field of a table."""
INSTALL = "pip install 'rapid-membership[agent]'"


def configured(arguments: Mapping[str, Any], file: str | None = None) -> Configuration:
    """What the arguments (those that were given, by field), the environment and the file say together.

    A table's fields are merged one by one; of the ways to name seeds only the first source's counts. A
    variable that is no field's is none of ours. Raises :class:`SettingsError`, with the field and where it
    was written, for what cannot be read.
    """
    file = file or os.environ.get(FILE)
    variables = [name for name in os.environ if configures(name) and name.upper() != FILE]
    if file is None and not variables:
        # nothing to merge: an agent that is told all by arguments needs no library for it
        return Configuration(**arguments)
    try:
        from pydantic import ValidationError
        from pydantic_settings import SettingsError as SourceError
    except ModuleNotFoundError as missing:
        if missing.name not in ("pydantic", "pydantic_settings"):
            raise
        what = "config" if file is not None else variables[0]
        raise SettingsError(what, f"reading it takes the package {missing.name!r}; {INSTALL}") from None
    written = _read(file) if file is not None else {}
    try:
        merged = _model(written)(**arguments)
    except ValidationError as invalid:
        raise _explained(invalid, arguments, file) from None
    except SourceError as problem:
        raise SettingsError(PREFIX + "*", f"{problem}; {problem.__cause__}") from None
    return Configuration(**merged.model_dump(exclude_unset=True))


def configures(variable: str) -> bool:
    """Whether an agent takes something from the environment variable of this name."""
    prefix, name = variable.upper()[: len(PREFIX)], variable.upper()[len(PREFIX) :]
    field = name.partition(NESTED)[0].lower()
    return prefix == PREFIX and (field in Configuration.__dataclass_fields__ or name == "CONFIG")


def written_in(problem: Exception, arguments: Mapping[str, Any], file: str | None = None) -> str:
    """Where a value that was read, and makes no sense, is from: a variable or a file, else nothing.

    ``problem`` is what :meth:`Configuration.cluster` or :meth:`Configuration.admin_at` raised.
    """
    if not isinstance(problem, SettingsError | MetadataError):
        return ""
    field = problem.field if isinstance(problem, SettingsError) else "metadata"
    path = ["settings", field] if field in KINDS else [field]
    return _where(path, arguments, file or os.environ.get(FILE)) or ""


def _read(file: str) -> dict[str, Any]:
    import tomllib  # most agents are configured by arguments

    try:
        return tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as problem:
        raise SettingsError("config", f"cannot read {file}: {problem.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise SettingsError("config", f"{file} is no TOML: {problem}") from None


def _model(written: dict[str, Any]) -> type[BaseSettings]:
    """The fields of a :class:`Configuration`, filled from all sources and validated."""
    from pydantic import BeforeValidator, ConfigDict, create_model
    from pydantic_settings import (
        BaseSettings,
        EnvSettingsSource,
        InitSettingsSource,
        NoDecode,
        PydanticBaseSettingsSource,
        SettingsConfigDict,
    )

    class Sources(BaseSettings):
        model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter=NESTED, extra="forbid")

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, Variables(settings_cls), File(settings_cls, written)

    class Variables(EnvSettingsSource):
        def __call__(self) -> dict[str, Any]:
            found = super().__call__()
            # a table is merged with those of the other sources; what is none is told by the validation
            with suppress(KeyError, ValueError):
                single = f"{PREFIX}metadata{NESTED}".lower()
                found["metadata"] = _pairs(found["metadata"])
                found["metadata"] |= {
                    name.removeprefix(single): value
                    for name, value in self.env_vars.items()
                    if name.startswith(single)
                }
            return _without_other_seeds(found, self.current_state)

    class File(InitSettingsSource):
        def __call__(self) -> dict[str, Any]:
            return _without_other_seeds(super().__call__(), self.current_state)

    table: dict[str, Any] = {name: (kind, None) for name, kind in KINDS.items()}
    table["base"] = (Literal[tuple(BASES)], "lan")
    settings = create_model("settings", __config__=ConfigDict(extra="forbid"), **table)
    types = get_type_hints(Configuration)
    types["seeds"] = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
    types["metadata"] = Annotated[dict[str, str], NoDecode, BeforeValidator(_pairs)]
    types["settings"] = settings
    fields: dict[str, Any] = {
        each.name: (types[each.name], {} if each.default is dataclasses.MISSING else each.default)
        for each in dataclasses.fields(Configuration)
    }
    return create_model("Configuration", __base__=Sources, **fields)


def _without_other_seeds(found: dict[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """Where to find seeds was said by a source that wins already."""
    if not any(name in state for name in SEEDS):
        return found
    return {name: value for name, value in found.items() if name not in SEEDS}


def _split(value: object) -> object:
    """A variable holds a list with commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _pairs(value: object) -> object:
    """A variable holds a table as KEY=VALUE with commas."""
    if not isinstance(value, str):
        return value
    pairs = {}
    for part in value.split(","):
        key, equals, what = part.strip().partition("=")
        if not equals or not key:
            raise ValueError(f"{part.strip()!r} is no KEY=VALUE, such as role=cache")
        pairs[key] = what
    return pairs


def _explained(invalid: ValidationError, arguments: Mapping[str, Any], file: str | None) -> SettingsError:
    """The first thing that is wrong, with its field and where that was written."""
    first = invalid.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"] if not str(part).endswith("]")]
    name = ".".join(path)
    if first["type"] == "extra_forbidden":
        there = KINDS if path[0] == "settings" and len(path) > 1 else Configuration.__dataclass_fields__
        problem = f"no such field; there are {', '.join(there)}"
    else:
        problem = first["msg"].removeprefix("Value error, ")
        if name != "admin_token" and first["type"] != "value_error":  # what we raise says it itself
            problem += f", not {first['input']!r}"
    return SettingsError(name, f"{problem} ({_where(path, arguments, file) or 'an argument'})")


def _where(path: list[str], arguments: Mapping[str, Any], file: str | None) -> str | None:
    """The variable or the file that a field's value is from; None for an argument."""
    variables = [f"{PREFIX}{NESTED.join(path[:depth])}".upper() for depth in range(len(path), 0, -1)]
    set_ones = [name for name in os.environ if name.upper() in variables]
    given: Any = arguments
    for part in path:
        given = given.get(part) if isinstance(given, Mapping) else None
    if given is not None:
        return None
    return set_ones[0] if set_ones else file
