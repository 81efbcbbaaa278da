"""Files that a step writes into the job's workspace for later steps: reports, snapshots. Never a value."""

import os
from pathlib import Path

from msgspec import Struct

from keylease.errors import UsageError
from keylease.model import Env
from keylease.outputs.audit_report import FORMS

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
    """A file below the workspace or the runner's temporary directory. source: the input that named it."""

    path: str
    source: str

    @classmethod
    def of(cls, path: str, env: Env, source: str) -> "WorkspaceFile":
        """Raises :class:`UsageError` for a path that leads elsewhere, over a symbolic link too: what a pull request put
        into the workspace must not choose what is overwritten."""
        file = cls(path, source)
        given = Path(path)
        directory = Path(os.path.realpath(given.parent))
        roots = [
            os.path.realpath(each) for each in (env.get("GITHUB_WORKSPACE") or ".", env.get("RUNNER_TEMP")) if each
        ]
        if given.name in ("", "..") or not any(directory.is_relative_to(root) for root in roots):
            raise file._error("lies outside the workspace", "name a file in the workspace")
        if not directory.is_dir():
            raise file._error("can't be written: its directory is not there", "make the directory in an earlier step")
        if os.path.islink(given):
            raise file._error("is a symbolic link", "name another file")
        return cls(str(directory / given.name), source)

    def write(self, text: str) -> None:
        """Write it anew. Raises :class:`UsageError`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(self.path, flags, 0o644), "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise self._error(f"can't be written: {error.strerror}", "name another file") from None

    def _error(self, what: str, change: str) -> UsageError:
        return UsageError(f"{self.source}: {self.path!a} {what}", change=change, docs="inputs")
