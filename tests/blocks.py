"""The code blocks of the documents, for the tests that run them."""

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from todo.embedded.binaries import find_binaries

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
# What make has installed stays as it is.
MAKE = "make --assume-old=.venv/run --assume-old=.venv/dev"
SERVES = r"make (?:--\S+ )*run\b|(?:[^\s#]+ +)*?\S*todo serve\b"


class Block(NamedTuple):
    """A code block of a document, which is named by its path in the repository."""

    document: str
    language: str
    text: str


def list_blocks(document: str) -> list[Block]:
    """List the blocks of a document in their order."""
    found = BLOCK.finditer((ROOT / document).read_text())
    return [Block(document, block["language"], block["text"]) for block in found]


def find_block(document: str, part: str) -> str:
    """Find the text of the one block of a document that has this in it."""
    [text] = [block.text for block in list_blocks(document) if part in block.text]
    return text


def find_script(document: str, *parts: str) -> str:
    """Make one script of some blocks, in which what serves takes the place of the shell, which would keep a signal."""
    script = "\n".join(find_block(document, part) for part in parts)
    script = re.sub(r"^make ", f"{MAKE} ", script, flags=re.MULTILINE)
    return re.sub(rf"^((?:\w+=\S+ +)*)({SERVES})", r"\1exec \2", script, flags=re.MULTILINE)


def run_as_owner(document: str, part: str, url: str) -> None:
    """Run a block with commands for psql on the database at a URL."""
    path = f"{find_binaries(None)}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DIRECT_URL_OF_THE_OWNER": url}
    command = ["bash", "-euc", find_block(document, part)]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
