"""Clients made from the document: how each is generated, checked and run, in a folder of its own."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).with_name("programs")
NODE_MODULES = ROOT / "clients/node_modules"
# Apart from the service's own packages, with which the generators' conflict.
PYTHON_TOOLS = Path(sys.executable).parent.parent / "clients/bin"


def run(folder: Path, *command: str | Path) -> str:
    """Run a program in a folder, and return what it prints."""
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def run_npm_tool(folder: Path, name: str, *arguments: str | Path) -> str:
    """Run one of npm's tools in a folder that finds their packages."""
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(NODE_MODULES)
    return run(folder, NODE_MODULES / ".bin" / name, *arguments)


@dataclass
class TypeScript:
    """A client in TypeScript: the program that uses it, and what generates it."""

    program: str
    generator: tuple[str, ...]

    def build(self, folder: Path) -> None:
        """Generate and compile it, strictly."""
        run_npm_tool(folder, *self.generator)
        run_npm_tool(folder, "tsc", "--project", ".")

    def start(self, folder: Path, *arguments: str) -> str:
        """Run the program, and return what it prints."""
        return run(folder, "node", Path("build", self.program).with_suffix(".js"), *arguments)


@dataclass
class Python:
    """A client in Python: the program that uses it, and what generates it."""

    program: str
    generator: tuple[str, ...]

    def build(self, folder: Path) -> None:
        """Generate it, and check its types, strictly."""
        run(folder, PYTHON_TOOLS / self.generator[0], *self.generator[1:])
        run(folder, PYTHON_TOOLS / "mypy", "--strict", "--no-incremental", self.program)

    def start(self, folder: Path, *arguments: str) -> str:
        """Run the program, and return what it prints."""
        return run(folder, PYTHON_TOOLS / "python", self.program, *arguments)


CLIENTS: dict[str, TypeScript | Python] = {
    "openapi-fetch": TypeScript("openapi_fetch.ts", ("openapi-typescript", "openapi.json", "--output", "schema.ts")),
    "hey-api": TypeScript("hey_api.ts", ("openapi-ts", "--file", "openapi-ts.config.mjs")),
    "openapi-python-client": Python(
        "run_openapi_python_client.py",
        (
            *("openapi-python-client", "generate", "--path", "openapi.json", "--fail-on-warning"),
            *("--config", "openapi-python-client.json", "--meta", "none", "--output-path", "generated"),
        ),
    ),
    "datamodel-code-generator": Python(
        "run_datamodel_code_generator.py",
        (
            *("datamodel-codegen", "--input", "openapi.json", "--input-file-type", "openapi"),
            *("--output", "generated.py", "--output-model-type", "pydantic_v2.BaseModel"),
            *("--target-python-version", "3.11", "--use-annotated", "--formatters", "builtin"),
        ),
    ),
}


def lay_out(folder: Path, document: Path, client: TypeScript | Python) -> None:
    """Copy into a folder the document, a program and the settings of the tools."""
    shutil.copy(document, folder / "openapi.json")
    for path in (PROGRAMS / client.program, *PROGRAMS.glob("*.json"), *PROGRAMS.glob("*.mjs")):
        shutil.copy(path, folder)
