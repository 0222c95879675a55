"""Settings: read once from the environment and `.env`, validated, immutable. There is no global instance."""

import os
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from io import StringIO
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv.parser import parse_stream
from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, HttpUrl, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from todo.errors import BadSetting

ENV_FILE = Path(".env")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s]+|\*")
SIMILARITY = 0.8  # of a misspelt name to the one that was meant, as difflib measures it
HOST_LENGTH = 253  # the limit of DNS; the name is repeated in every task of a list
# RFC 3986, section 3.2.2; Compose makes host names with underscores.
_HOST_NAME = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?"
_HOST = re.compile(rf"{_HOST_NAME}|\[[0-9A-Fa-f:.]+\]")
_LISTEN_HOST = re.compile(r"[A-Za-z0-9_.:%-]{1,255}")
_ADDRESS = re.compile(r"https?://[^/\\\s\x00-\x1f\x7f?#@]+(/[^\\\s\x00-\x1f\x7f?#]*)?", re.IGNORECASE)
# In ASCII, as a header must be; the path as in RFC 3986, section 3.3.
_BASE_URL = re.compile(
    rf"https?://(?:{_HOST.pattern})(?::[0-9]+)?(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{{2}})*)?"
)


def _split_commas(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _check_origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value):
        raise ValueError("must be origins such as https://app.example.com, separated by commas")
    return value


def read_host(value: str) -> str | None:
    """Return a host name or address in normalized form, or None if it is malformed."""
    if len(value) > HOST_LENGTH or not _HOST.fullmatch(value):
        return None
    if not value.startswith("["):
        return value.lower().removesuffix(".")
    try:
        return f"[{IPv6Address(value[1:-1])}]"
    except ValueError:
        return None


def _check_host(value: str) -> str:
    host = read_host(value)
    if host is None:
        raise ValueError("must be host names without a port, such as todo.example.com, separated by commas")
    return host


def _check_listen_host(value: str) -> str:
    if not _LISTEN_HOST.fullmatch(value):
        raise ValueError("must be an IP address, without brackets, or a host name")
    return value


def _write_base_url(value: str) -> str:
    """Return the URL in ASCII: the name as punycode, the path percent-encoded."""
    try:
        # Pydantic's own check is looser: it drops white space, and takes a backslash for a slash.
        url = str(HttpUrl(value)).rstrip("/") if _ADDRESS.fullmatch(value) else ""
    except ValidationError:
        url = ""
    if not _BASE_URL.fullmatch(url):
        raise ValueError("must be the URL that clients use, such as https://todo.example.com")
    return url


def _check_function_name(value: str) -> str:
    module, _, function = value.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *function.split("."))):
        raise ValueError("must name a function, as package.module:function")
    return value


def _refuse_empty(value: object) -> object:
    if value == "":
        raise ValueError("is set but empty; unset it, or give it a value")
    return value


def _expand_home(value: Path) -> Path:
    try:
        return value.expanduser()
    except RuntimeError:
        raise ValueError("begins with `~`, but the home folder is unknown; give the full path") from None


Folder = Annotated[Path, BeforeValidator(_refuse_empty), AfterValidator(_expand_home)]
ListenHost = Annotated[str, BeforeValidator(_refuse_empty), AfterValidator(_check_listen_host)]
DatabaseUrl = Annotated[SecretStr, BeforeValidator(_refuse_empty)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_check_origin)], ...], NoDecode, BeforeValidator(_split_commas)]

Hosts = Annotated[tuple[Annotated[str, AfterValidator(_check_host)], ...], NoDecode, BeforeValidator(_split_commas)]


class LogSettings(BaseSettings):
    """How to log."""

    model_config = SettingsConfigDict(
        env_prefix="TODO_", frozen=True, hide_input_in_errors=True, dotenv_filtering="only_existing"
    )

    log_format: Literal["console", "json"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(LogSettings):
    """Every setting; `docs/configuration.md` explains each."""

    database_url: DatabaseUrl | None = Field(default=None, validation_alias="DATABASE_URL")
    database_url_unpooled: DatabaseUrl | None = Field(default=None, validation_alias="DATABASE_URL_UNPOOLED")
    host: ListenHost = "127.0.0.1"
    # Platforms such as Cloud Run and Heroku say by PORT where to listen.
    port: int = Field(default=8000, ge=1, le=65535, validation_alias=AliasChoices("TODO_PORT", "PORT"))
    workers: int = Field(default=1, ge=1, le=128)
    data_dir: Folder | None = None
    pg_bin: Folder | None = None
    cors_origins: Origins = ()
    public_url: Annotated[str, BeforeValidator(_refuse_empty), AfterValidator(_write_base_url)] | None = None
    allowed_hosts: Hosts = ()
    docs: bool = True
    identify_owner: Annotated[str, AfterValidator(_check_function_name)] | None = None
    max_body_bytes: int = Field(default=65_536, ge=1, le=16_777_216)
    deadline_seconds: float = Field(default=10, gt=0, le=300)
    pool_size: int = Field(default=10, ge=1, le=1000)
    pool_timeout_seconds: float = Field(default=3, gt=0, le=300)
    prepared_statements: bool = True
    metrics_host: ListenHost = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=1, le=65535)

    @property
    def is_embedded(self) -> bool:
        """Whether the service runs the embedded database."""
        return self.database_url is None


def read_settings(**overrides: Any) -> Settings:  # noqa: ANN401 - each is validated by its field
    """Read the environment, and `.env` in the working folder for what is not in it.

    `overrides`, such as the options of a command line, take precedence. Raises BadSetting, which names the variable and
    never repeats its value.
    """
    variables = {name.upper() for name in os.environ}
    if "DATABASE_URL" in variables and "DATABASE_URL_UNPOOLED" not in variables:
        # That of `.env` belongs to the URL there, and would lead `migrate` to another database.
        overrides = {"DATABASE_URL_UNPOOLED": None, **overrides}
    try:
        return Settings(_env_file=_find_env_file(), **overrides)
    except ValidationError as error:
        raise BadSetting("; ".join(_describe(fault["loc"], fault["msg"]) for fault in error.errors())) from None


def read_log_settings() -> LogSettings:
    """Read how to log what is wrong with other settings; if these are wrong themselves, return their defaults."""
    try:
        return LogSettings(_env_file=_find_env_file())
    except (ValidationError, BadSetting):
        return LogSettings.model_construct()


def _find_env_file() -> Path | None:
    """Return the path of `.env`, unless it is not to be read; raises BadSetting if it cannot be."""
    _read_env_file()
    return ENV_FILE if _has_env_file() else None


def _has_env_file() -> bool:
    # python-dotenv's own switch; a folder of that name is somebody's virtual environment.
    is_disabled = os.environ.get("PYTHON_DOTENV_DISABLED", "").lower() in {"1", "true", "t", "yes", "y"}
    return not is_disabled and ENV_FILE.is_file()


def _read_env_file() -> Collection[str]:
    """Return the names in `.env`; raise BadSetting where python-dotenv would leave out what it cannot read."""
    try:
        text = ENV_FILE.read_text(encoding="utf-8") if _has_env_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not in UTF-8"
        raise BadSetting(f"{ENV_FILE}: cannot be read ({reason})") from None
    bindings = list(parse_stream(StringIO(text)))
    for binding in bindings:
        if binding.error or (binding.key and binding.value is None):
            blank = binding.original.string[: -len(binding.original.string.lstrip())]
            raise BadSetting(f"{ENV_FILE}: line {binding.original.line + blank.count(chr(10))} is not NAME=value")
    return [binding.key for binding in bindings if binding.key]


def find_misspelt() -> Mapping[str, str]:
    """Return the variables of the environment and `.env` that are no settings and look like one, each with that one."""
    fields = Settings.model_fields
    known = [(name if name.startswith("database_url") else f"TODO_{name}").upper() for name in fields]
    names = [*os.environ, *_read_env_file()]
    unknown = [name for name in names if name.upper().startswith("TODO_") and name.upper() not in known]
    nearest = {name: get_close_matches(name.upper(), known, n=1, cutoff=SIMILARITY) for name in unknown}
    return {name: found[0] for name, found in nearest.items() if found}


def _describe(location: tuple[int | str, ...], message: str) -> str:
    name = str(location[0]).upper()
    variable = name if name.startswith(("DATABASE_URL", "TODO_")) else f"TODO_{name}"
    names = {*os.environ, *_read_env_file()}
    if variable == "TODO_PORT" and variable not in names and "PORT" in names:
        variable = "PORT"
    return f"{variable}: {message.removeprefix('Value error, ')}"
