"""Where `keylease lease` puts what it leased: the job's own channels on GitHub, text elsewhere."""

import logging
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TextIO, cast

from keylease.masking import Masker
from keylease.model import Env, Export, Plan, Revocation
from keylease.outputs import console, shell
from keylease.outputs.files import Places, SecretFiles, Written, place, write_private
from keylease.outputs.github import GitHubOutputs
from keylease.outputs.names import check_exports
from keylease.outputs.state import StateFile, default_path


class Store(ABC):
    """Where values go, and what must be ended goes beside them."""

    def note(self) -> str:
        """What a person should know about the end of what was delivered."""
        return ""

    @abstractmethod
    def remember(self, revocations: Sequence[Revocation]) -> None:
        """Keep what must be revoked, before anything is read."""

    @abstractmethod
    def deliver(self, exports: Sequence[Export], plan: Plan) -> None:
        """Hand over everything, or nothing."""

    @abstractmethod
    def forget(self, left: Sequence[Revocation]) -> None:
        """All was given back but what is `left`, which a later `keylease revoke` can try again."""


class GitHubStore(Store):
    """A `run:` step of GitHub Actions: variables and outputs through the runner's files.

    Such a step has no post step, so what must be revoked goes to a file, for `keylease revoke` in a later step.
    """

    def __init__(self, env: Env, masker: Masker, stream: TextIO) -> None:
        self._outputs = GitHubOutputs(env, stream, remember=self._wrote)
        self._outputs.scrub = masker.scrub
        self._state = StateFile(default_path(env))
        self._revocations: Sequence[Revocation] = ()
        self._written: Sequence[Written] = ()

    def note(self) -> str:
        """See the base class."""
        return _end(self._revocations, self._written, "`keylease revoke` in a step with `if: always()`")

    def _wrote(self, files: Sequence[Written]) -> None:
        self._written = files
        self._state.save(self._revocations, files)

    def remember(self, revocations: Sequence[Revocation]) -> None:
        """See the base class."""
        self._revocations = revocations
        self._state.save(revocations)

    def deliver(self, exports: Sequence[Export], plan: Plan) -> None:
        """See the base class."""
        self._outputs.deliver(exports, plan.allow_names)

    def forget(self, left: Sequence[Revocation]) -> None:
        """See the base class. The files were deleted when they could not be delivered."""
        if self._revocations:
            self._state.finish(left)


class TextStore(Store):
    """Text in some format, on standard output or in a private file; state in a private file."""

    def __init__(
        self, env: Env, form: str, output: str | None, state: str | None, log: logging.Logger, *, keep: bool
    ) -> None:
        self._form = cast(shell.Format, form)
        self._output = output
        self._log = log
        self._state = StateFile(state or default_path(env)) if keep else None
        self._revocations: Sequence[Revocation] = ()
        self._files = SecretFiles(Places(env), lambda _: self._save(), lambda text: log.warning("%s", text))
        self._command = "`keylease revoke" + (f" --state {state}`" if state else "`")

    def note(self) -> str:
        """See the base class."""
        return _end(self._revocations, self._files.written, self._command) if self._state else ""

    def remember(self, revocations: Sequence[Revocation]) -> None:
        """See the base class."""
        self._revocations = revocations
        self._save()

    def _save(self) -> None:
        if self._state:
            self._state.save(self._revocations, self._files.written)

    def deliver(self, exports: Sequence[Export], plan: Plan) -> None:
        """See the base class."""
        check_exports(exports, plan.allow_names)
        text = shell.render(shell.variables(place(exports, self._files)), self._form)
        if self._form == "gitlab-dotenv":
            self._log.warning("%s", shell.GITLAB_WARNING)
        if not self._state and self._files.written:
            left = ", ".join(file.host_path for file in self._files.written)
            self._log.warning("nothing is kept for `keylease revoke`, so nobody deletes %s: do it yourself", left)
        if self._output:
            write_private(self._output, text.encode("utf-8"))
            if self._form != "gitlab-dotenv":  # that one is an artifact: it is there to outlive the job
                status = os.stat(self._output)
                path = os.path.realpath(self._output)
                self._files.written.append(Written(path, self._output, "", status.st_dev, status.st_ino))
                self._save()
        else:
            console.emit(sys.stdout, text)

    def forget(self, left: Sequence[Revocation]) -> None:
        """See the base class."""
        known = self._revocations or self._files.written
        self._files.discard()
        if self._state and known:
            self._state.finish(left)


def _end(revocations: Sequence[Revocation], files: Sequence[Written], command: str) -> str:
    if revocations and files:
        return f"end them with {command}, which deletes {_paths(files)} too"
    if revocations:
        return f"end them with {command}"
    return f"delete {_paths(files)} with {command}; nothing else can be revoked" if files else ""


def _paths(files: Sequence[Written]) -> str:
    return files[0].host_path if len(files) == 1 else f"the {len(files)} files"
