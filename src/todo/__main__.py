"""The entry point of the command line: decides what Ctrl-C does before anything else is imported."""

import signal
import sys


def main() -> None:
    """Run a command."""
    if sys.platform == "win32":  # which lacks modules that the rest imports
        sys.exit("todo: Windows is not supported; use WSL 2: https://learn.microsoft.com/windows/wsl/install")
    # Importing the rest takes a second and leaves nothing to clean up. So Ctrl-C just ends the process, as it does a
    # program in C, until the command line takes over. An exception would be raised in the midst of a library's import.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from todo import cli  # noqa: PLC0415 - see above

    cli.main()


if __name__ == "__main__":
    main()
