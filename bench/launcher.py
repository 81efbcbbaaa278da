"""Starts commands and measures them. A process of its own, because it must be small.

The kernel counts the memory of the process that a command is forked from into the command's own peak (exec keeps
the high-water mark of what it replaces), so the starter must need less than anything it measures. Hence: run with
`python -IS`, nothing imported but built-in modules, `marshal` as the language on the pipes.

In:  (argv, env, cwd, path for stdout, path for stderr), one after the other until end of file.
Out: the pid; then (wait status, wall seconds, user + system CPU seconds, peak resident KiB).
"""

import marshal
import os
import sys
from time import perf_counter

NULL = "/dev/null"
NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def main() -> None:
    """Serve until standard input ends."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            argv, env, cwd, out, err = marshal.load(requests)
        except EOFError:
            return
        os.chdir(cwd)
        files = [
            (os.POSIX_SPAWN_OPEN, 0, NULL, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, out, NEW, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, err, NEW, 0o600),
        ]
        started = perf_counter()
        pid = os.posix_spawn(argv[0], argv, env, file_actions=files)
        marshal.dump(pid, answers)
        answers.flush()
        _, status, usage = os.wait4(pid, 0)
        wall = perf_counter() - started
        marshal.dump((status, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss), answers)
        answers.flush()


if __name__ == "__main__":
    main()
