"""What the revisions say to a table that is in use: nothing that stops its requests, as squawk judges it."""

import json
import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory

from todo.database.migration import make_config
from todo.database.revisions import REVISIONS

ROOT = Path(__file__).parents[2]
SQUAWK = Path(sys.executable).with_name("squawk")
VERSIONS = ROOT / "src/todo/database/migrations/versions"

# Squawk does not look into a block, so its statements are judged without what holds them together in PL/pgSQL. What
# is not known here is left standing, and is a syntax error.
BLOCK = re.compile(r"^DO (\$\w*\$)(?P<body>.*?)\1", re.DOTALL | re.MULTILINE)
CONTROL = re.compile(
    r"^\s*(DECLARE .*;|FOR \w+ IN|END LOOP;|BEGIN|IF .* THEN|ELSIF .* THEN|ELSE|END IF;|END;?)$", re.MULTILINE
)
LOOP = re.compile(r"^\s*LOOP$", re.MULTILINE)  # ends the query whose rows it goes through

INVENTED = '''
from alembic import op

revision, down_revision, branch_labels, depends_on = "invented", "{head}", None, None


def upgrade() -> None:
    op.execute("""{change}""")
'''


def print_revision(revision: str, *folders: Path) -> str:
    """The SQL of one revision; of several at once, a table that the first creates would be nobody's yet."""
    output = StringIO()
    config = make_config(output)
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", os.pathsep.join(map(str, (VERSIONS, *folders))))
    before = ScriptDirectory.from_config(config).get_revision(revision).down_revision or "base"
    command.upgrade(config, f"{before}:{revision}", sql=True)
    # What comes before the revision is Alembic's own table, with a VARCHAR that nobody will ever widen.
    return "BEGIN;\n-- Running upgrade" + output.getvalue().partition("-- Running upgrade")[2]


def test_revisions_are_those_of_the_files() -> None:
    """The code knows them without Alembic, the newest first."""
    scripts = ScriptDirectory.from_config(make_config()).walk_revisions()

    assert tuple(script.revision for script in scripts) == REVISIONS


def find_faults(statements: str) -> set[str]:
    """The rules that are broken, by the statements as `migrate` runs them."""
    unfolded = BLOCK.sub(
        lambda block: CONTROL.sub("", LOOP.sub(";", block["body"])), f"SET lock_timeout = '5s';\n{statements}"
    )
    judged = subprocess.run(
        [SQUAWK, "--reporter=json"], input=unfolded, cwd=ROOT, check=False, capture_output=True, text=True
    )
    return {fault["rule_name"] for fault in json.loads(judged.stdout)}


@pytest.mark.parametrize("revision", REVISIONS)
def test_revision_stops_no_request(revision: str) -> None:
    """It waits for a lock within bounds, holds none for long, and takes nothing away that somebody reads."""
    assert find_faults(print_revision(revision)) == set()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("ALTER TABLE tasks ADD COLUMN x timestamptz NOT NULL DEFAULT clock_timestamp()", "adding-field-with-default"),
        ("ALTER TABLE tasks ADD COLUMN x text NOT NULL", "adding-required-field"),
        ("ALTER TABLE tasks ADD CONSTRAINT x CHECK (version < 9)", "constraint-missing-not-valid"),
        ("ALTER TABLE tasks DROP COLUMN due_at", "ban-drop-column"),
        ("ALTER TABLE tasks ALTER COLUMN title TYPE varchar(255)", "changing-column-type"),
        ("ALTER TABLE tasks RENAME TO todos", "renaming-table"),
        ("CREATE INDEX x ON tasks (due_at)", "require-concurrent-index-creation"),
        ("FOR n IN 1..2 LOOP", "syntax-error"),
    ],
)
@pytest.mark.parametrize(
    "block", ["{}", "DO $$ BEGIN\nIF true THEN\n{};\nEND IF;\nEND $$", "DO $x$\nBEGIN\n{};\nEND;\n$x$"]
)
def test_revision_that_would_stop_requests_is_found(tmp_path: Path, block: str, change: str, fault: str) -> None:
    """Though the table is made by an earlier revision, and in a block as well."""
    (tmp_path / "invented.py").write_text(INVENTED.format(head=REVISIONS[0], change=block.format(change)))

    assert fault in find_faults(print_revision("invented", tmp_path))
