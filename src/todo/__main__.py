"""The way into the command line; it imports nothing before it has decided what Ctrl-C does meanwhile."""

import signal


def main() -> None:
    """Run a command."""
    # Importing the rest takes a second, and has nothing to clean up: Ctrl-C just ends the process, as that of a program
    # in C, until the command line takes over. An exception would have to find its way through other people's modules.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from todo import cli  # noqa: PLC0415 - see above

    cli.main()


if __name__ == "__main__":
    main()
