"""The entry point of the command line: what Ctrl-C does and where output goes, before anything else is imported."""

import os
import signal
import sys

LAST_STREAM = 2  # standard error


def main() -> None:
    """Run a command."""
    if sys.platform == "win32":  # which lacks modules that the rest imports
        sys.exit("todo: Windows is not supported; use WSL 2: https://learn.microsoft.com/windows/wsl/install")
    # Importing the rest takes a second and leaves nothing to clean up. So Ctrl-C just ends the process, as it does a
    # program in C, until the command line takes over. An exception would be raised in the midst of a library's import.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _open_missing_streams()
    from todo import cli  # noqa: PLC0415 - see above

    cli.main()


def _open_missing_streams() -> None:
    """Open the closed standard streams on /dev/null, before another file gets their number and receives our lines.

    libffi, which `ctypes` loads, opens a file and never closes it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= LAST_STREAM:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - its only argument
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - until the end


if __name__ == "__main__":
    main()
