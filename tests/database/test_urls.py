"""Database URLs: what Neon prints is taken as it is, and what is refused keeps its secret."""

import re

import pytest
from sqlalchemy import make_url

from todo.database.urls import derive_direct_url, read_database_url
from todo.errors import BadSetting

CANARY = "canary-hunter2"
QUERY = "sslmode=require&channel_binding=require"
POOLED = "ep-cool-darkness-a1b2c3d4-pooler.eu-central-1.aws.neon.tech"
DIRECT = "ep-cool-darkness-a1b2c3d4.eu-central-1.aws.neon.tech"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
@pytest.mark.parametrize("host", [POOLED, DIRECT])
def test_url_as_neon_prints_it_is_taken(scheme: str, host: str) -> None:
    """Every part of it reaches the driver, and the driver is the one that can honour it."""
    url = read_database_url(f"{scheme}://owner:npg_s%40cret@{host}/neondb?{QUERY}")

    assert url.drivername == "postgresql+psycopg"
    assert (url.username, url.password, url.host, url.database) == ("owner", "npg_s@cret", host, "neondb")
    assert url.query == {"sslmode": "require", "channel_binding": "require"}


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
        f"postgresql://owner:{CANARY}@host:port/neondb",
        f"postgresql://owner:{CANARY}/with/slashes@host:x/neondb",
        f"postgresql://owner:{CANARY}\udcff@host/neondb",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    """The message is one line that names the variable and shows how a URL looks."""
    with pytest.raises(BadSetting) as caught:
        read_database_url(url)

    message = str(caught.value)
    assert message == "DATABASE_URL: is not a URL such as postgresql://user:password@host/database"
    assert caught.value.__suppress_context__, "a traceback would show the URL"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("pgbouncer=true", "has an option pgbouncer, which libpq does not know"),
        (f"{CANARY}=x&sslmode=require&x={CANARY}", "which libpq does not know"),
        ("conninfo=x", "which libpq does not know"),
        ("sslmode=required", "sslmode must be one of disable, allow, prefer, require, verify-ca, verify-full"),
        ("sslmode=require&sslmode=disable", "has the option sslmode more than once"),
        (f"port={CANARY}", "the port must be a number from 1 to 65535"),
        ("port=99999", "invalid port number"),
        ("port=0", "invalid port number"),
        ("port=1,2", "where there are several hosts, one for each"),
        ("host=a,b&port=1,2,3", "where there are several hosts, one for each"),
        ("host=a..b", "the host is no host name"),
        (f"host={'a' * 64}", "the host is no host name"),
        (f"hostaddr={CANARY}", "hostaddr must be an IP address"),
        (f"service={CANARY}", "definition of service not found"),
        (f"passfile=/{CANARY}", "passfile names a file that is not there, or out of reach"),
        (f"sslrootcert=/{CANARY}", "sslrootcert names a file that is not there, or out of reach"),
        (f"sslrootcert=/{CANARY * 50}", "sslrootcert names a file that is not there, or out of reach"),
        ("sslmode=require&sslrootcert=system", "weak sslmode may not be used with sslrootcert=system"),
        (f"channel_binding={CANARY}", "invalid channel_binding value"),
        (f"target_session_attrs={CANARY}", "invalid target_session_attrs value"),
        (f"require_auth={CANARY}", "invalid require_auth value"),
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
    ["host:99999", "host:0", "a..b", f"{'a' * 64}.example", "ho%00st"],
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

    assert url.password == CANARY
    assert url.query == make_url(f"postgresql://owner{rest}").query


@pytest.mark.parametrize("host", [POOLED, DIRECT])
def test_neon_is_reached_over_tls_whatever_the_url_leaves_out(host: str) -> None:
    """Libpq alone would go on without it where somebody on the way takes it out; elsewhere nothing is decided here."""
    assert read_database_url(f"postgresql://owner@{host}/neondb").query == {"sslmode": "require"}
    assert read_database_url(f"postgresql://owner@{host}/neondb?sslmode=verify-full").query == {
        "sslmode": "verify-full"
    }
    assert read_database_url("postgresql://owner@db.example.com/todo").query == {}


def test_endpoint_may_be_named_by_an_option() -> None:
    """As Neon prints it for clients without SNI."""
    url = read_database_url(f"postgresql://owner@{DIRECT}/neondb?sslmode=require&options=endpoint%3Dep-cool")

    assert url.query["options"] == "endpoint=ep-cool"


def test_space_around_a_url_is_nothing() -> None:
    """As it comes out of files and dashboards."""
    assert read_database_url(f" postgresql://owner@{DIRECT}/neondb\n").database == "neondb"


def test_direct_url_is_the_pooled_one_without_the_pooler() -> None:
    """Only the host's first label changes."""
    pooled = read_database_url(f"postgresql://owner:{CANARY}@{POOLED}:5432/neondb?{QUERY}")

    direct = derive_direct_url(pooled)

    assert direct == pooled.set(host=DIRECT)


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
    url = make_url(f"postgresql+psycopg://owner@{host}/neondb")

    assert derive_direct_url(url) == url


def test_url_of_a_socket_is_its_own_direct_one() -> None:
    """There is no host in it, and none is made up."""
    url = read_database_url("postgresql://todo@/todo?host=/run/postgresql")

    assert derive_direct_url(url) == url
