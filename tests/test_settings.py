"""What the environment says, and how a mistake in it is told."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from todo.errors import BadSetting
from todo.settings import LogSettings, Settings, find_misspelt, read_log_settings, read_settings

CANARY = "canary-hunter2"


@pytest.mark.parametrize(
    ("variable", "value", "name", "read"),
    [
        ("TODO_HOST", "0.0.0.0", "host", "0.0.0.0"),  # noqa: S104 - nothing listens here
        ("TODO_PORT", "65535", "port", 65535),
        ("TODO_WORKERS", "4", "workers", 4),
        ("TODO_DATA_DIR", "/srv/todo", "data_dir", Path("/srv/todo")),
        ("TODO_PG_BIN", "/opt/pg/bin", "pg_bin", Path("/opt/pg/bin")),
        (
            "TODO_CORS_ORIGINS",
            " https://a.example, http://b.example:8080 ,",
            "cors_origins",
            ("https://a.example", "http://b.example:8080"),
        ),
        ("TODO_CORS_ORIGINS", "*", "cors_origins", ("*",)),
        ("TODO_CORS_ORIGINS", "", "cors_origins", ()),
        ("TODO_ALLOWED_HOSTS", "Todo.example.com, [0::1]", "allowed_hosts", ("todo.example.com", "[::1]")),
        ("TODO_ALLOWED_HOSTS", "todo_backend,todo.example.com.", "allowed_hosts", ("todo_backend", "todo.example.com")),
        ("TODO_DOCS", "off", "docs", False),
        ("TODO_METRICS_HOST", "::1", "metrics_host", "::1"),
        ("TODO_METRICS_PORT", "9090", "metrics_port", 9090),
        ("TODO_IDENTIFY_OWNER", "our.tokens:Keys.identify", "identify_owner", "our.tokens:Keys.identify"),
        ("TODO_MAX_BODY_BYTES", "1000", "max_body_bytes", 1000),
        ("TODO_LOG_FORMAT", "json", "log_format", "json"),
        ("TODO_LOG_LEVEL", "debug", "log_level", "debug"),
        ("TODO_PUBLIC_URL", "https://todo.example.com/v1/", "public_url", "https://todo.example.com/v1"),
        ("TODO_PUBLIC_URL", "https://Todo_backend:8000", "public_url", "https://todo_backend:8000"),
        ("TODO_PUBLIC_URL", "http://[::1]:8000/", "public_url", "http://[::1]:8000"),
        ("TODO_PUBLIC_URL", "https://例え.jp/パス", "public_url", "https://xn--r8jz45g.jp/%E3%83%91%E3%82%B9"),
        ("TODO_PUBLIC_URL", "https://todo.example.com/a>b", "public_url", "https://todo.example.com/a%3Eb"),
        ("TODO_DEADLINE_SECONDS", "0.5", "deadline_seconds", 0.5),
        ("TODO_POOL_SIZE", "1000", "pool_size", 1000),
        ("TODO_POOL_TIMEOUT_SECONDS", "300", "pool_timeout_seconds", 300),
        ("TODO_PREPARED_STATEMENTS", "off", "prepared_statements", False),
        ("TODO_PREPARED_STATEMENTS", "on", "prepared_statements", True),
    ],
)
def test_variable_is_read(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, name: str, read: object) -> None:
    """Each variable sets the one setting that is named after it, and no other."""
    monkeypatch.setenv(variable, value)

    settings = read_settings()

    assert getattr(settings, name) == read
    assert settings.model_dump(exclude={name}) == Settings.model_construct().model_dump(exclude={name})


@pytest.mark.parametrize("variable", ["TODO_DATA_DIR", "TODO_PG_BIN"])
def test_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """As in a shell, which leaves it alone in a unit file or between quotes."""
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setenv(variable, "~/todo")

    assert getattr(read_settings(), variable.removeprefix("TODO_").lower()) == Path("/home/alice/todo")


@pytest.mark.parametrize("variable", ["DATABASE_URL", "DATABASE_URL_UNPOOLED"])
def test_database_url_is_a_secret(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """It is read under the name that Neon gives it, and printing the settings does not print it."""
    monkeypatch.setenv(variable, f"postgresql://owner:{CANARY}@host/neondb")

    settings = read_settings()

    secret = getattr(settings, variable.lower())
    assert secret.get_secret_value() == f"postgresql://owner:{CANARY}@host/neondb"
    assert CANARY not in f"{settings!r}{settings}{settings.model_dump()}{settings.model_dump_json()}"


def test_without_a_database_url_the_database_is_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one variable decides it."""
    assert read_settings().is_embedded
    monkeypatch.setenv("DATABASE_URL", "postgresql://host/neondb")
    assert not read_settings().is_embedded


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", ""),
        ("DATABASE_URL_UNPOOLED", ""),
        ("TODO_HOST", ""),
        ("TODO_HOST", f"127.0.0.1\n{CANARY}"),
        ("TODO_HOST", "127.0.0.1\n"),
        ("TODO_HOST", f"\x1b[31m{CANARY}"),
        ("TODO_HOST", "\t"),
        ("TODO_HOST", "*"),
        ("TODO_HOST", "[::1]"),
        ("TODO_HOST", "http://localhost"),
        ("TODO_HOST", "a" * 256),
        ("TODO_PORT", ""),
        ("TODO_PORT", CANARY),
        ("TODO_PORT", "0"),
        ("TODO_PORT", "65536"),
        ("TODO_WORKERS", "0"),
        ("TODO_WORKERS", "1.5"),
        ("TODO_DATA_DIR", ""),
        ("TODO_DATA_DIR", f"~{CANARY}/todo"),
        ("TODO_PG_BIN", ""),
        ("TODO_CORS_ORIGINS", CANARY),
        ("TODO_CORS_ORIGINS", "https://a.example/path"),
        ("TODO_CORS_ORIGINS", "https://a.example b.example"),
        ("TODO_ALLOWED_HOSTS", "todo.example.com:8000"),
        ("TODO_ALLOWED_HOSTS", "https://todo.example.com"),
        ("TODO_ALLOWED_HOSTS", "todo..example.com"),
        ("TODO_ALLOWED_HOSTS", "[:::]"),
        ("TODO_ALLOWED_HOSTS", "x" * 254),
        ("TODO_IDENTIFY_OWNER", ""),
        ("TODO_IDENTIFY_OWNER", CANARY),
        ("TODO_IDENTIFY_OWNER", "tokens"),
        ("TODO_IDENTIFY_OWNER", "tokens:"),
        ("TODO_IDENTIFY_OWNER", ":identify"),
        ("TODO_IDENTIFY_OWNER", ".tokens:identify"),
        ("TODO_IDENTIFY_OWNER", "tokens.py:identify()"),
        ("TODO_IDENTIFY_OWNER", "tokens:identify:owner"),
        ("TODO_MAX_BODY_BYTES", "0"),
        ("TODO_METRICS_HOST", ""),
        ("TODO_METRICS_PORT", "0"),
        ("TODO_LOG_FORMAT", CANARY),
        ("TODO_LOG_LEVEL", CANARY),
        ("TODO_PUBLIC_URL", ""),
        ("TODO_PUBLIC_URL", CANARY),
        ("TODO_PUBLIC_URL", f"https://owner:{CANARY}@todo.example.com"),
        ("TODO_PUBLIC_URL", "https://todo.example.com/?q"),
        ("TODO_PUBLIC_URL", "https://todo.example.com/\x01"),
        ("TODO_PUBLIC_URL", "https://todo.example.com\\v1"),
        ("TODO_PUBLIC_URL", "https://todo.example.com/\udcff"),
        ("TODO_PUBLIC_URL", "https://todo.example.com/%zz"),
        ("TODO_PUBLIC_URL", "https://todo.example.com:65536"),
        ("TODO_PUBLIC_URL", "https://[::1"),
        ("TODO_PUBLIC_URL", "https://todo..example.com"),
        ("TODO_PUBLIC_URL", "https://xn--zz--"),
        ("TODO_DEADLINE_SECONDS", "0.0"),
        ("TODO_DEADLINE_SECONDS", "301"),
        ("TODO_DEADLINE_SECONDS", "nan"),
        ("TODO_DEADLINE_SECONDS", "inf"),
        ("TODO_POOL_SIZE", "0"),
        ("TODO_POOL_SIZE", "1001"),
        ("TODO_POOL_TIMEOUT_SECONDS", "-1"),
        ("TODO_POOL_TIMEOUT_SECONDS", "nan"),
        ("TODO_PREPARED_STATEMENTS", CANARY),
        ("TODO_PREPARED_STATEMENTS", ""),
    ],
)
def test_bad_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """Neither the message nor what a traceback would add to it repeats the value."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(BadSetting) as caught:
        read_settings()

    message = str(caught.value)
    assert message.startswith(f"{variable}: ")
    assert len(message) > len(f"{variable}: ")
    assert "\n" not in message
    assert not value or value not in message.removeprefix(variable)
    assert caught.value.__suppress_context__


def test_every_bad_value_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever mends the first need not be told of the second later."""
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("TODO_PORT", "0")

    with pytest.raises(BadSetting, match=r"^DATABASE_URL: is set but empty.*; TODO_PORT: "):
        read_settings()


def test_secret_is_not_told_with_another_s_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """One bad variable does not print the others."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://owner:{CANARY}@host/neondb")
    monkeypatch.setenv("TODO_PORT", "0")

    with pytest.raises(BadSetting) as caught:
        read_settings()

    assert CANARY not in str(caught.value)


def test_port_of_the_platform_is_taken_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cloud Run and Heroku set PORT; a mistake in it is told by that name."""
    monkeypatch.setenv("PORT", "8080")
    assert read_settings().port == 8080
    monkeypatch.setenv("TODO_PORT", "8081")
    assert read_settings().port == 8081
    monkeypatch.delenv("TODO_PORT")
    monkeypatch.setenv("PORT", "http")
    with pytest.raises(BadSetting, match=r"^PORT: "):
        read_settings()


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("TODO_WORKRS", "TODO_WORKERS"),
        ("todo_pool_sise", "TODO_POOL_SIZE"),
        ("TODO_DATABASE_URL", "DATABASE_URL"),
        ("TODO_DATABASE_URL_UNPOOLED", "DATABASE_URL_UNPOOLED"),
        ("TODO_TEST_DATABASE_URL", None),
        ("TODO_WORKERS", None),
        ("TODO_LIST", None),
    ],
)
def test_misspelt_variable_is_found(monkeypatch: pytest.MonkeyPatch, variable: str, meant: str | None) -> None:
    """Whatever begins as settings do and looks like one; others may be somebody else's."""
    monkeypatch.setenv(variable, "1")

    assert find_misspelt() == ({variable: meant} if meant else {})


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The `.env` of a working folder, which is read and does not exist yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED")
    return tmp_path / ".env"


def test_env_file_is_read_where_the_environment_says_nothing(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option of the command line is nearer than either; names that are no settings are somebody else's."""
    env_file.write_text(
        f"# a comment\nexport DATABASE_URL='postgresql://owner:{CANARY}@host/neondb'\n"
        "TODO_PORT=9000\nTODO_WORKERS=3 # three\ntodo_pool_size=4\nTODO_CORS_ORIGINS=https://a.example,https://b.example\n"
        "OTHER=1\nTODO_LIST=1\n"
    )
    monkeypatch.setenv("TODO_PORT", "9001")

    settings = read_settings(workers=5)

    assert settings.database_url
    assert settings.database_url.get_secret_value() == f"postgresql://owner:{CANARY}@host/neondb"
    assert (settings.port, settings.workers, settings.pool_size) == (9001, 5, 4)
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert Settings().pool_size == 10  # what a test makes for itself reads none


def test_env_file_does_not_lead_migrations_to_another_database(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names one in the environment, such as a copy to try a migration on, means that one alone."""
    env_file.write_text("DATABASE_URL=postgresql://host/serving\nDATABASE_URL_UNPOOLED=postgresql://host/serving\n")
    assert read_settings().database_url_unpooled is not None

    monkeypatch.setenv("DATABASE_URL", "postgresql://host/copy")

    assert read_settings().database_url_unpooled is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"TODO_PORT=8000\n\n\nnot a setting\n", ".env: line 4 is not NAME=value"),
        (b"DATABASE_URL\n", ".env: line 1 is not NAME=value"),
        (b"TODO_HOST='0.0.0.0\n", ".env: line 1 is not NAME=value"),
        (b"TODO_HOST=\xff\n", ".env: cannot be read (it is not in UTF-8)"),
        (b"TODO_PORT=0\n", "TODO_PORT: Input should be greater than or equal to 1"),
        (b"PORT=http\n", "PORT: Input should be a valid integer, unable to parse string as an integer"),
        (b"DATABASE_URL=\n", "DATABASE_URL: is set but empty; unset it, or give it a value"),
    ],
)
def test_mistake_in_the_env_file_is_one_line(env_file: Path, text: bytes, said: str) -> None:
    """Nothing is left out of it silently, which might be the database."""
    env_file.write_bytes(text)

    with pytest.raises(BadSetting) as caught:
        read_settings()

    assert str(caught.value) == said
    assert read_log_settings() == LogSettings()


@pytest.mark.ordinary_account
def test_env_file_that_may_not_be_read_is_one_line(env_file: Path) -> None:
    """The service would start with other settings than those that somebody has written down."""
    env_file.touch(mode=0)

    with pytest.raises(BadSetting, match=r"^\.env: cannot be read \(Permission denied\)$"):
        read_settings()


def test_misspelt_name_in_the_env_file_is_found(env_file: Path) -> None:
    """As one in the environment."""
    env_file.write_text("TODO_WORKRS=4\nTODO_LOG_LEVEL=debug\n")

    assert find_misspelt() == {"TODO_WORKRS": "TODO_WORKERS"}
    assert read_log_settings().log_level == "debug"


def test_env_file_is_not_read_where_that_is_turned_off(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable that turns python-dotenv off; neither is a folder of that name, as of a virtual environment."""
    env_file.write_text("not a setting")
    monkeypatch.setenv("PYTHON_DOTENV_DISABLED", "true")
    assert read_settings() == Settings()

    monkeypatch.delenv("PYTHON_DOTENV_DISABLED")
    env_file.unlink()
    env_file.mkdir()
    assert read_settings() == Settings()


def test_example_of_an_env_file_is_valid(env_file: Path) -> None:
    """Each of its lines is a setting, and has a value that can be."""
    example = Path(__file__).parents[1] / ".env.example"
    lines = re.findall(r"^# (?=[A-Z_]+=)(.*)$", example.read_text(), re.MULTILINE)
    env_file.write_text("\n".join(lines))

    settings = read_settings()

    names = [line.partition("=")[0].removeprefix("TODO_").lower() for line in lines]
    assert settings.model_fields_set >= {name for name in names if name != "port"}
    assert set(names) <= set(Settings.model_fields)


def test_override_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option of the command line is nearer than a variable, even where the variable is bad."""
    monkeypatch.setenv("TODO_PORT", "0")
    monkeypatch.setenv("TODO_HOST", "10.0.0.1")

    settings = read_settings(port=9000, data_dir=Path("/srv/todo"))

    assert (settings.port, settings.host, settings.data_dir) == (9000, "10.0.0.1", Path("/srv/todo"))


def test_bad_override_is_told_by_the_same_name() -> None:
    """The message is the one that the variable would get."""
    with pytest.raises(BadSetting, match=r"^TODO_PORT: "):
        read_settings(port=70_000)


def test_settings_never_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """They can be passed on without being copied, and are read once."""
    settings = read_settings()
    monkeypatch.setenv("TODO_PORT", "9000")

    with pytest.raises(ValidationError):
        settings.port = 9001  # type: ignore[misc]  # that it is wrong is the point
    assert settings.port == 8000
