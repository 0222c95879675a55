"""The entry point of the command line: decides what Ctrl-C does before anything else is imported."""

import signal


def main() -> None:
    """Run a command."""
    # Importing the rest takes a second and leaves nothing to clean up. So Ctrl-C just ends the process, as it does a
    # program in C, until the command line takes over. An exception would be raised in the midst of a library's import.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from todo import cli  # noqa: PLC0415 - see above

    cli.main()


if __name__ == "__main__":
    main()
