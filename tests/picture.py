"""The picture of a session in the README: `make picture` runs the commands that it shows, and draws what they print."""

import inspect
import re
import subprocess
from io import StringIO

from rich.console import Console
from rich.text import Text

from tests.blocks import ROOT, find_block
from tests.conftest import open_shared_folder
from tests.service import running_service

PICTURE = ROOT / "docs/session.svg"
ADDRESS = "http://127.0.0.1:8000"  # in the README
WIDTH = 116
HEADERS = ("http/", "etag:", "location:")  # those that are shown
# Without the fonts that rich's format loads from elsewhere, which no page that shows a picture allows.
FORMAT = re.sub(
    r"@font-face \{\{.*?\}\}",
    "",
    inspect.signature(Console.export_svg).parameters["code_format"].default,
    flags=re.DOTALL,
)


def read_commands() -> list[str]:
    """The commands of the README's session, each in the lines in which it stands there."""
    lines = re.sub(r"^(#.*)?\n", "", find_block("README.md", "API="), flags=re.MULTILINE)
    return re.split(r"(?<!\\)\n", lines.strip())


def run_commands(address: str) -> list[str]:
    """Run them in one shell against the service at an address, and return what each prints."""
    script = "\n".join(f"{command}\nprintf '\\036'" for command in read_commands())  # ASCII's record separator
    command = ["bash", "-euc", script.replace(ADDRESS, address)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.replace(address, ADDRESS).split("\036")[:-1]


def wrap(line: str, width: int) -> list[str]:
    """Break a line wherever it is full, as a terminal does."""
    return [line[start : start + width] for start in range(0, len(line), width)]


def draw() -> str:
    """Run the service and the commands, and return the picture."""
    console = Console(record=True, width=WIDTH, file=StringIO())
    with open_shared_folder() as folder, running_service(TODO_DATA_DIR=str(folder / "data")) as service:
        printed = run_commands(str(service.client.base_url).rstrip("/"))
    for command, output in zip(read_commands(), printed, strict=True):
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        headers, _, body = output.rpartition("\n\n")
        for line in headers.splitlines():
            if line.lower().startswith(HEADERS):
                console.print(Text(line, "cyan"))
        if body:
            console.print("\n".join(wrap(body, WIDTH)), markup=False, highlight=False)
        console.print()
    return console.export_svg(title="A session with todo", code_format=FORMAT)


if __name__ == "__main__":
    PICTURE.write_text(draw())
