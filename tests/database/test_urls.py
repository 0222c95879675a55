"""Database URLs: what Neon prints is taken as it is, and what is refused keeps its secret."""

import pickle
import re

import pytest
from psycopg.conninfo import conninfo_to_dict

from todo.database.urls import DatabaseUrl, read_database_url
from todo.errors import BadSetting

CANARY = "canary-hunter2"
QUERY = "sslmode=require&channel_binding=require"
POOLED = "ep-cool-darkness-a1b2c3d4-pooler.eu-central-1.aws.neon.tech"
DIRECT = "ep-cool-darkness-a1b2c3d4.eu-central-1.aws.neon.tech"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
@pytest.mark.parametrize("host", [POOLED, DIRECT])
def test_url_as_neon_prints_it_is_taken(scheme: str, host: str) -> None:
    """Every part of it reaches the driver."""
    url = read_database_url(f"{scheme}://owner:npg_s%40cret@{host}/neondb?{QUERY}")

    assert url.parameters == {
        "user": "owner", "password": "npg_s@cret", "host": host, "dbname": "neondb",
        "sslmode": "require", "channel_binding": "require",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rest", "parameters"),
    [
        ("", {}),
        ("/todo", {"dbname": "todo"}),
        ("user:@host/", {"user": "user", "host": "host"}),
        ("host/my%20todo", {"host": "host", "dbname": "my todo"}),
        ("host/my@todo", {"host": "host", "dbname": "my@todo"}),
        (
            "user:p+w:x?y#z&a=b@host/todo",
            {"user": "user", "password": "p+w:x?y#z&a=b", "host": "host", "dbname": "todo"},
        ),
        ("us%3Aer:p%25%2F%40w@host", {"user": "us:er", "password": "p%/@w", "host": "host"}),
        ("user:p w@host/my todo", {"user": "user", "password": "p w", "host": "host", "dbname": "my todo"}),
        ("[::1]:5433/todo", {"host": "::1", "port": "5433", "dbname": "todo"}),
        ("[fe80::1%25eth0]/todo", {"host": "fe80::1%eth0", "dbname": "todo"}),
        ("one:1,two:2/todo", {"host": "one,two", "port": "1,2", "dbname": "todo"}),
        ("%2Frun%2Fpostgresql/todo", {"host": "/run/postgresql", "dbname": "todo"}),
        ("host/todo?host=other&dbname=else&user=me", {"host": "other", "dbname": "else", "user": "me"}),
        ("host?sslmode=&application_name=", {"host": "host"}),
        ("host?ssl=true&", {"host": "host", "sslmode": "require"}),
        ("host?options=-c+lock_timeout%3D5s", {"host": "host", "options": "-c lock_timeout=5s"}),
        ("host?options=-c%20TimeZone%3DUTC%2B1", {"host": "host", "options": "-c TimeZone=UTC+1"}),
    ],
)
def test_url_is_read_as_psql_reads_it(rest: str, parameters: dict[str, str]) -> None:
    """And with a `+` for a space among the options, as Python writes them; what is empty is left out."""
    assert read_database_url(f"postgresql://{rest}").parameters == parameters


def test_url_shows_no_value_of_itself_and_reaches_another_process() -> None:
    """It may stand in a traceback, and the workers get it from their parent."""
    url = read_database_url(f"postgresql://owner:{CANARY}@{DIRECT}/neondb")

    assert repr(url) == str(url) == "DatabaseUrl()"
    assert pickle.loads(pickle.dumps(url)) == url  # noqa: S301 - our own


@pytest.mark.parametrize("scheme", ["mysql", "sqlite", "postgresql+asyncpg", "postgresql+psycopg2", "https"])
def test_other_scheme_is_refused(scheme: str) -> None:
    """PostgreSQL through psycopg is the only database; the variable is named, and nothing of the URL is."""
    with pytest.raises(BadSetting) as caught:
        read_database_url(f"{scheme}://owner:{CANARY}@host/neondb", variable="DATABASE_URL_UNPOOLED")

    message = str(caught.value)
    assert message.startswith("DATABASE_URL_UNPOOLED: must start with postgresql://")
    assert "\n" not in message
    assert CANARY not in message


@pytest.mark.parametrize(
    "url",
    [
        "",
        CANARY,
        f"owner:{CANARY}@host/neondb",
        f"psql 'postgresql://owner:{CANARY}@host/neondb'",
        f"postgresql://owner:{CANARY}/with/slashes@host:x/neondb",
        f"postgresql://owner:5432/{CANARY}@host/neondb",
        f"postgresql://owner:at@{CANARY}@host/neondb",
        f"postgresql://owner:a/b?{CANARY}@host/neondb",
        f"postgresql://owner:a@b?{CANARY}=c@host/neondb",
        f"postgresql://owner@host/neondb?password=a&{CANARY}=c",
        f"postgresql://owner@host/neondb?{CANARY}",
        f"postgresql://owner:{CANARY}%@host/neondb",
        f"postgresql://owner:{CANARY}%FF@host/neondb",
        f"postgresql://owner:{CANARY}\udcff@host/neondb",
        f"postgresql://owner@host/neondb?options=-c lock_timeout={CANARY}",
        f"postgresql://owner@host/neondb?ssl={CANARY}",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    """The message is one line that names the variable, and shows how a URL looks and what has to be encoded in it."""
    with pytest.raises(BadSetting) as caught:
        read_database_url(url)

    message = str(caught.value)
    assert message.startswith("DATABASE_URL: is not a URL such as postgresql://user:password@host/database; ")
    assert "/ as %2F" in message
    assert message.isprintable()
    assert CANARY not in message
    assert caught.value.__suppress_context__, "a traceback would show the URL"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("pgbouncer=true", "has an option 'pgbouncer', which libpq does not know"),
        (f"{CANARY}=x&sslmode=require&x={CANARY}", "which libpq does not know"),
        ("%0Aa=x", r"has an option '\na', which libpq does not know"),
        ("conninfo=x", "which libpq does not know"),
        ("sslmode=required", "sslmode must be one of disable, allow, prefer, require, verify-ca, verify-full"),
        ("sslmode=require&sslmode=disable", "has the option 'sslmode' more than once"),
        (f"port={CANARY}", "the port must be a number from 1 to 65535"),
        ("port=99999", "the port must be a number from 1 to 65535"),
        ("port=0", "the port must be a number from 1 to 65535"),
        ("port=1,2", "where there are several hosts, one for each"),
        ("host=a,b&port=1,2,3", "where there are several hosts, one for each"),
        ("host=a:5432", "the host is not a host name"),
        ("host=a..b", "the host is not a host name"),
        (f"host={'a' * 64}", "the host is not a host name"),
        (f"hostaddr={CANARY}", "hostaddr must be an IP address"),
        (f"service={CANARY}", "definition of service not found"),
        (f"passfile=/{CANARY}", "passfile names a file that does not exist or cannot be reached"),
        (f"sslrootcert=/{CANARY}", "sslrootcert names a file that does not exist or cannot be reached"),
        (f"sslrootcert=/{CANARY * 50}", "sslrootcert names a file that does not exist or cannot be reached"),
        ("sslmode=require&sslrootcert=system", "weak sslmode may not be used with sslrootcert=system"),
        (f"channel_binding={CANARY}", "invalid channel_binding value"),
        (f"target_session_attrs={CANARY}", "invalid target_session_attrs value"),
        (f"require_auth={CANARY}", "invalid require_auth value"),
        (f"channel_binding=a%22{CANARY}", "invalid channel_binding value"),
        (f"channel_binding=%0A{CANARY}", "invalid channel_binding value"),
        ("ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2", "invalid SSL protocol version range"),
        (f"connect_timeout={CANARY}", "connect_timeout must be a whole number"),
        ("keepalives_idle=1e3", "keepalives_idle must be a whole number"),
        ("replication=database", "a replication connection takes no statements"),
        ("user=a%00b", "must not contain a NUL character"),
    ],
)
def test_option_that_cannot_be_right_is_refused(query: str, words: str) -> None:
    """At the start, in one line and without its value, and not with each request."""
    with pytest.raises(BadSetting, match=f"^DATABASE_URL: .*{re.escape(words)}") as caught:
        read_database_url(f"postgresql://owner:{CANARY}@/neondb?{query}")

    message = str(caught.value)
    assert message.isprintable()
    assert query.startswith(CANARY) or CANARY not in message


@pytest.mark.parametrize(
    "authority",
    ["host:99999", "host:0", "host:port", "a..b", f"{'a' * 64}.example", "ho%00st"],
)
def test_host_or_port_that_cannot_be_is_refused(authority: str) -> None:
    """Nobody has to be asked for it."""
    with pytest.raises(BadSetting, match=r"^DATABASE_URL_UNPOOLED: ") as caught:
        read_database_url(f"postgresql://owner:{CANARY}@{authority}/neondb", variable="DATABASE_URL_UNPOOLED")

    assert str(caught.value).isprintable()
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "rest",
    [
        "@127.0.0.1:1/todo",
        "@[::1]:5432/todo",
        "@xn--r8jz45g.jp/todo",
        "@db_1/todo",
        "@/todo?host=/run/postgresql",
        "@/todo?host=a,b&port=1,2&target_session_attrs=read-write&load_balance_hosts=random",
        "@host/todo?hostaddr=192.0.2.1&connect_timeout=5&keepalives=0",
        "@host/todo?options=-c%20statement_timeout%3D5s&application_name=x&client_encoding=LATIN1",
        "@host/todo?sslmode=verify-full&sslrootcert=system&sslnegotiation=direct",
        "@host/todo?gssencmode=prefer&require_auth=scram-sha-256",
    ],
)
def test_option_that_may_be_right_is_passed_on(rest: str) -> None:
    """Nobody is asked whether it is, and no name is looked up."""
    url = read_database_url(f"postgresql://owner:{CANARY}{rest}")

    passed_on = conninfo_to_dict(f"postgresql://owner:{CANARY}{rest}")
    assert url.parameters == passed_on == conninfo_to_dict(url.conninfo)


@pytest.mark.parametrize("host", [POOLED, DIRECT])
def test_neon_is_reached_over_tls_whatever_the_url_leaves_out(host: str) -> None:
    """Libpq alone would go on without it where somebody on the way takes it out; elsewhere nothing is decided here."""

    def read_ssl_mode(rest: str) -> str | None:
        return read_database_url(f"postgresql://owner@{rest}").parameters.get("sslmode")

    assert read_ssl_mode(f"{host}/neondb") == "require"
    assert read_ssl_mode(f"{host}/neondb?sslmode=verify-full") == "verify-full"
    assert read_ssl_mode("db.example.com/todo") is None


def test_endpoint_may_be_named_by_an_option() -> None:
    """As Neon prints it for clients without SNI."""
    url = read_database_url(f"postgresql://owner@{DIRECT}/neondb?sslmode=require&options=endpoint%3Dep-cool")

    assert url.parameters["options"] == "endpoint=ep-cool"


def test_space_around_a_url_is_nothing() -> None:
    """As it comes out of files and dashboards."""
    assert read_database_url(f" postgresql://owner@{DIRECT}/neondb\n").parameters["dbname"] == "neondb"


def test_direct_url_is_the_pooled_one_without_the_pooler() -> None:
    """Only the host's first label changes."""
    pooled = read_database_url(f"postgresql://owner:{CANARY}@{POOLED}:5432/neondb?{QUERY}")

    assert pooled.is_pooled
    assert pooled.direct == pooled.with_parameters(host=DIRECT)


@pytest.mark.parametrize(
    "host",
    [
        DIRECT,
        "db-pooler.example.com",
        "db-pooler.not-neon.tech",
        "db-pooler",
        "localhost",
        "ep-cool.eu-pooler.aws.neon.tech",
    ],
)
def test_any_other_host_is_its_own_direct_one(host: str) -> None:
    """A name that only looks like a pooler's is left alone."""
    url = DatabaseUrl({"host": host})

    assert not url.is_pooled
    assert url.direct == url


def test_url_of_a_socket_is_its_own_direct_one() -> None:
    """There is no host in it, and none is made up."""
    url = read_database_url("postgresql://todo@/todo?host=/run/postgresql")

    assert url.direct == url
