"""Keep the window open when Loratory was started by a double-click on Windows and ended with an error.

Such a window closes with the program and takes the reason with it. This file runs on any Python 3 (launch.py needs it
to tell even an old Python's user what is wrong), hence no annotations.
"""

import sys


def console_programs():
    """Names of the programs that share this console window, on Windows; empty elsewhere or without a console.

    Started from a shell, the shell is among them. After a double-click there are only python.exe and its helpers
    (py.exe, an environment's python.exe, which starts the real one).
    """
    if sys.platform != "win32":
        return []
    import ctypes

    kernel32 = ctypes.windll.kernel32
    ids = (ctypes.c_uint * 64)()
    names = []
    for pid in ids[: min(kernel32.GetConsoleProcessList(ids, 64), 64)]:
        handle = kernel32.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
        buffer, size = ctypes.create_unicode_buffer(1024), ctypes.c_uint(1024)
        found = handle and kernel32.QueryFullProcessImageNameW(handle, 0, buffer, ctypes.byref(size))
        names.append(buffer.value.replace("\\", "/").rsplit("/", 1)[-1].lower() if found else "?")
        if handle:
            kernel32.CloseHandle(handle)
    return names


def started_by_double_click(programs):
    """True where the window belongs to Python alone: nobody's shell would show the text after the end."""
    return bool(programs) and all(name.startswith("py") for name in programs)


def hold_window(exit_code, programs, ask=input):
    """Wait for a key where the window would close on an error. Returns whether it waited."""
    if exit_code == 0 or not started_by_double_click(programs):
        return False
    sys.stdout.flush()
    try:  # noqa: SIM105 - older Pythons
        ask("\nPress Enter to close this window.")
    except (EOFError, KeyboardInterrupt):
        pass
    return True
