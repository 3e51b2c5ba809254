"""The one way to start Loratory. Without arguments: the web page; `--preset x.toml`: training; `--help`: the rest.

Any Python 3 can read this file (an old one is told so in one sentence), and nothing but the standard library is
imported before the environment is complete: the first process makes or finds it, then starts this file again with it.
"""

import os
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))
SECOND = "LORATORY_BOOTSTRAPPED"  # set for the second process, so that it never starts a third


def first_process(argv):
    """Find or make the environment, then go on in it. Returns an exit code where it does not go on."""
    from pathlib import Path

    from trainer import commandline, install

    options = commandline.parse(argv)
    root = Path(ROOT)
    try:
        if options.help is not None:
            python = install.ready(root)
            if python is None:
                print(
                    "The help on single settings needs the installation: run 'python launch.py' once, then ask again."
                )
                return commandline.BAD_SETTINGS
        else:
            extras = frozenset(options.extras) | (frozenset() if options.test is None else frozenset({"tests"}))
            python = install.ensure(root, extras, options.torch, options.update)
    except install.InstallFailed as failure:
        print(failure, file=sys.stderr)
        return commandline.CRASHED
    except KeyboardInterrupt:
        print("\nInterrupted. Starting again completes the installation.", file=sys.stderr)
        return commandline.STOPPED
    alone = options.preset is None and options.test is None and commandline.of_a_run(options) is None
    alone = alone and options.tool is None and options.import_ is None
    alone = alone and not commandline.of_the_queue(options)
    if options.update and alone:
        print("Loratory is up to date. Start it with: python launch.py")
        return commandline.DONE
    return continue_with(str(python), argv)


def continue_with(python, argv):
    """Start this file again with the environment's Python: in place where the system can, else as a child."""
    command = [python, os.path.abspath(__file__)] + argv
    environment = dict(os.environ)
    environment[SECOND] = "1"
    if os.name != "nt":
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(python, command, environment)
    return wait_for(command, environment)


def wait_for(command, environment):
    """Run a child and pass its exit code on. Ctrl-C reaches the child by itself; this process outlives it."""
    import signal
    import subprocess

    child = subprocess.Popen(command, env=environment)
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGBREAK") if hasattr(signal, name)]
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]  # now: a child would inherit it on POSIX
    try:
        return child.wait()
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)


def second_process(argv):
    """Inside the environment: do what the options say."""
    from pathlib import Path

    from trainer import commandline

    options = commandline.parse(argv)
    if options.help is not None:
        from trainer.contract import reference

        return reference.print_help(options.help)
    if options.test is not None:
        from trainer import testing

        return testing.run(Path(ROOT), options.test)
    if commandline.of_the_queue(options):
        from gui.queue import follow

        return follow.main(options)
    if options.tool is not None:
        from gui import tool_command

        return tool_command.main(options)
    if options.import_ is not None:
        from gui import exchange

        return exchange.bring_in(options)
    of_a_run = commandline.of_a_run(options)
    if options.preset is None and of_a_run is None:
        from gui import app

        return app.main(options)
    from gui import headless

    if of_a_run is not None:
        return headless.COMMANDS[of_a_run](options)
    instead = commandline.instead_of_training(options)
    return headless.WITH_PRESET[instead](options) if instead else headless.main(options)


def main():
    if sys.version_info < (3, 11):  # noqa: UP036
        version = ".".join(map(str, sys.version_info[:2]))
        print("Loratory needs Python 3.11 or newer and this is " + version + ": install Python 3.12 from python.org.")
        return 2
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console that lacks a letter must not end a run
    try:
        if os.environ.pop(SECOND, None):
            return second_process(sys.argv[1:])
        return first_process(sys.argv[1:])
    except KeyboardInterrupt:
        return 130


def start():
    """main(), ended quietly where nobody reads what it says to the end (`| head`)."""
    try:
        return main_in_window()
    except BrokenPipeError:
        return 0
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                if stream is not None:  # there may be no console at all
                    stream.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def main_in_window():
    """main(), with the window held open where it would close on an error after a double-click."""
    from trainer import doubleclick

    if os.environ.get(SECOND):
        return main()  # the first process holds the window
    try:
        code = main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BrokenPipeError:
        raise
    except Exception:
        import traceback

        traceback.print_exc()
        code = 1
    doubleclick.hold_window(code, doubleclick.console_programs())
    return code


if __name__ == "__main__":
    sys.exit(start())
