"""Files that somebody names for a report, a snapshot, a baseline. Never a value.

What is judged may come from a stranger's pull request, and with it symbolic links: none chooses what is overwritten.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from keylease.errors import UsageError
from keylease.model import Env

_DEVICES = ("/dev/", "/proc/")
"""``/dev/stdout`` and what a shell makes of ``>(command)`` are links, to what is open already."""

_FORMS = {
    ".sarif": "code-scanning",
    ".json": "json",
    ".xml": "junit",
    ".md": "markdown",
    ".txt": "table",
    ".html": "html",
}


def form_of(path: str, source: str) -> str:
    """The form of a report by the end of its file's name. Raises :class:`UsageError`; source: the input's name."""
    from keylease.outputs.audit_report import FORMS

    known = {suffix: form for suffix, form in _FORMS.items() if form in FORMS}
    form = known.get(Path(path).suffix.lower())
    if form is None:
        raise UsageError(
            f"{source}: no form of report is known for {path!a}",
            change=f"let the file's name end with one of: {' '.join(known)}",
            docs="inputs",
        )
    return form


class WorkspaceFile(Struct, frozen=True):
    """path: as it is written to. source: what named it: an input, an option."""

    path: str
    source: str
    docs: str = "inputs"

    @classmethod
    def of(cls, path: str, env: Env, source: str) -> "WorkspaceFile":
        """Of an input: below the workspace or the runner's temporary directory. Raises :class:`UsageError`."""
        roots = [each for each in (env.get("GITHUB_WORKSPACE") or ".", env.get("RUNNER_TEMP")) if each]
        file = cls(path, source)
        return file._checked(roots, "lies outside the workspace", "name a file in the workspace")

    @classmethod
    def named(cls, path: str, source: str, docs: str) -> "WorkspaceFile":
        """Of the command line: anywhere, but what lies in the working directory by its name must do so in truth.

        Raises :class:`UsageError`.
        """
        file = cls(path, source, docs)
        if os.path.abspath(path).startswith(_DEVICES):
            return file
        inside = Path(os.path.abspath(path)).is_relative_to(os.getcwd())
        return file._checked(
            ["." if inside else "/"],
            "lies outside the working directory: a directory on the way is a symbolic link",
            "name the directory that is meant, or another one",
        )

    def below(self, directory: str) -> "WorkspaceFile":
        """The same, for a name that itself comes from a file of this directory. Raises :class:`UsageError`."""
        change = f"name it on the command line ({self.source})"
        return self._checked([directory], "lies outside the directory of keylease.yml", change)

    def _checked(self, roots: Sequence[str], outside: str, change: str) -> "WorkspaceFile":
        given = Path(self.path)
        directory = Path(os.path.realpath(given.parent))
        if given.name in ("", "..") or not any(directory.is_relative_to(os.path.realpath(root)) for root in roots):
            raise self._error(outside, change)
        if not directory.is_dir():
            raise self._error("can't be written: its directory is not there", "make the directory before")
        if os.path.islink(given):
            raise self._error("is a symbolic link", "name another file")
        return replace(self, path=str(directory / given.name))

    def write(self, text: str) -> None:
        """Write it anew. Raises :class:`UsageError`."""
        follow = 0 if os.path.abspath(self.path).startswith(_DEVICES) else os.O_NOFOLLOW
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | follow | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(self.path, flags, 0o644), "w", encoding="utf-8") as file:
                os.set_blocking(file.fileno(), True)  # a pipe takes it in parts
                file.write(text)
        except OSError as error:
            raise self._error(f"can't be written: {error.strerror}", "name another file") from None

    def _error(self, what: str, change: str) -> UsageError:
        return UsageError(f"{self.source}: {self.path!a} {what}", change=change, docs=self.docs)
