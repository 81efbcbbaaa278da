"""GitHub Actions: masks, environment files, state, the job summary and annotations.

The formats are those of actions/runner: FileCommandManager.cs, ActionCommand.cs, ActionCommandManager.cs; for users
at https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands.
"""

import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TextIO

from keylease.errors import KeyleaseError, UsageError
from keylease.masking.forms import Announcement, announcement, is_maskable, lines_of
from keylease.model import Env, Export, Revocation, Seal
from keylease.outputs import console, masks, state
from keylease.outputs.files import HostPaths, Places, SecretFiles, Written, delete_files, place
from keylease.outputs.names import check_exports
from keylease.outputs.report import Row, markdown

STATE_NAME = "KEYLEASE"
"""State variables are KEYLEASE_0, KEYLEASE_1, …; the post step has them as STATE_KEYLEASE_0 …"""

MAX_STATE_CHUNK = 96 * 1024
"""Bytes of one state variable: the post step gets it as an environment variable, 128 KiB at most on Linux."""

MAX_STATE_TOTAL = 1024 * 1024
"""Bytes of all of them: arguments and environment of a process share 2 MiB."""

MAX_SUMMARY = 1024 * 1024
"""Bytes of a step's summary; the runner drops the whole of a larger one (CreateStepSummaryCommand)."""

MAX_OUTPUT = 900 * 1024
"""Bytes of one output: a job's outputs hold 1 MB. https://docs.github.com/actions/reference/limits
"""

MAX_ENCODED_MASKS = 5000
"""Masks of encoded forms in one step: the runner searches every later line of the job for each (docs/masking.md)."""


class GitHubOutputs:
    """All that one step writes to GitHub.

    env: the step's variables. stream: standard output, for commands and messages alike (the runner reads standard
    error apart, so that a message there could overtake its mask). host_paths: given in the container action.
    remember: told of the files before they hold a byte; by default they go to the post step's state.
    scrub: set it to the masker's own, which is made later since it needs :meth:`announce`.
    """

    def __init__(
        self,
        env: Env,
        stream: TextIO,
        host_paths: HostPaths | None = None,
        remember: Callable[[Sequence[Written]], None] | None = None,
    ) -> None:
        self._env = env
        self._stream = stream
        self._host = host_paths
        self._lock = threading.Lock()
        self._files: SecretFiles | None = None
        self._revocations: Sequence[Revocation] = ()
        self._encoded_masks = 0
        self._remember = remember or (lambda _: self.save_state(self._revocations))
        self.scrub: Callable[[str], str] = lambda text: text

    def in_container(self, host_paths: HostPaths) -> None:
        """We run in the action's container: later steps see its files under `host_paths`."""
        self._host = host_paths

    # -- the log --

    def announce(self, text: str) -> None:
        """``::add-mask::``, written and flushed before this returns, for `text` and those of its encoded forms that
        the runner would not hide by itself.

        The runner also masks each line of a text of several lines, however short or common: a text with such a line
        (``{`` of a JSON document) is announced in its one-line encodings only, and its other lines are announced
        by the caller.
        """
        announced = text if isinstance(text, Announcement) else announcement(text)
        told: list[str] = [text] if all(is_maskable(line) for line in lines_of(text)) else []
        further = masks.unknown_to_runner(told, announced.forms)
        room = MAX_ENCODED_MASKS - self._encoded_masks
        self._encoded_masks += len(further)
        if 0 <= room < len(further):
            self.warning(
                f"GitHub: more than {MAX_ENCODED_MASKS} encoded forms of the values are to be masked: "
                "those of the last values are not; each value itself is"
            )
        told += further[: max(room, 0)]
        self._write("".join(console.command("add-mask", each) + "\n" for each in told))

    def error(self, error: KeyleaseError, *, debug: bool = False) -> None:
        """An annotation of one line for the error and each further one, and the whole story in the log."""
        for each in (error, *error.also):
            short = f"{each.summary}. Likely cause: {each.cause}" if each.cause else each.summary
            self._annotate("error", short)
        for each in (error, *error.also):
            self._write(console.sanitize(self.scrub(each.diagnostics(debug=debug))) + "\n")

    def warning(self, message: str) -> None:
        """A warning as an annotation."""
        self._annotate("warning", message)

    def _annotate(self, name: str, message: str) -> None:
        text = self.scrub(console.one_line(self.scrub(message)))
        place = re.match(r"(?P<file>[\w./-]+\.ya?ml):(?P<line>[0-9]+): ", text)
        properties = {"title": "Keylease", **(place.groupdict() if place else {})}
        self._write(console.command(name, text, properties) + "\n")

    def commands(self, lines: Sequence[str]) -> None:
        """Annotations that were made elsewhere, escaped there, and plain lines among them."""
        self._write("".join(self.scrub(line) + "\n" for line in lines))

    def message(self, text: str) -> None:
        """Plain lines of the log."""
        self._write(console.sanitize(self.scrub(text)) + "\n")

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """What is written in the block is folded in the log."""
        self._write(console.command("group", self.scrub(console.one_line(title))) + "\n")
        try:
            yield
        finally:
            self._write(console.command("endgroup", "") + "\n")

    def _write(self, text: str) -> None:
        console.emit(self._stream, text)

    # -- delivery --

    def deliver(self, exports: Sequence[Export], allow: frozenset[str] = frozenset()) -> list[Written]:
        """Hand over all of `exports`, or nothing: variables, outputs and files. Returns the files.

        Everything is checked and rendered before the first byte is written; a failure on the way takes back what
        was written. allow: protected names allowed by the user. Raises :class:`UsageError`.
        """
        check_exports(exports, allow, github=True)
        paths = {
            variable: self._command_file(variable, purpose)
            for variable, purpose, wanted in (
                ("GITHUB_OUTPUT", "outputs", any(export.output for export in exports)),
                ("GITHUB_ENV", "environment variables", any(export.env for export in exports)),
            )
            if wanted
        }
        files = self._secret_files()
        before = len(files.written)
        try:
            placed = place(exports, files)
            rendered = {
                "GITHUB_OUTPUT": [(e.output_name or e.name, e.value.reveal()) for e in placed if e.output],
                "GITHUB_ENV": [(e.name, e.value.reveal()) for e in placed if e.env],
            }
            _append_all([(path, render(rendered[variable])) for variable, path in paths.items()])
        except BaseException:
            made, files.written[before:] = files.written[before:], []
            delete_files(made)
            raise
        return files.written[before:]

    def _secret_files(self) -> SecretFiles:
        if self._files is None:
            places = Places(self._env, self._host)
            self._files = SecretFiles(places, self._remember, self.warning)
        return self._files

    def _command_file(self, variable: str, purpose: str) -> str:
        path = self._env.get(variable, "")
        if not path:
            raise UsageError(
                f"GitHub: {variable} is not set, so {purpose} can't be handed to later steps",
                cause="this is not a step of a GitHub Actions job, or the variable did not reach the container",
                change="elsewhere use `keylease exec -- CMD` or `keylease lease --format shell`",
                docs="github-files",
            )
        if not os.path.isfile(path):
            raise UsageError(
                f"GitHub: the file of {variable} is not there: {path}",
                cause="the runner makes it before each step; the directory is not mounted into this container",
                change="in a container of your own, mount the directory of GITHUB_ENV at the same path",
                docs="github-files",
            )
        return path

    # -- the job's summary --

    def summary(self, rows: Sequence[Row]) -> None:
        """A table on the job's summary page. It is no part of the lease: what can't be written is a warning."""
        # Names of roles and accounts are the server's text.
        clean = [
            Row(
                self.scrub(row.what), self.scrub(row.source), self.scrub(row.delivered), row.expires_at, row.fingerprint
            )
            for row in rows
        ]
        self.summary_text(markdown(clean))

    def summary_text(self, text: str) -> None:
        """Markdown on the job's summary page, scrubbed; what can't be written is a warning."""
        path = self._env.get("GITHUB_STEP_SUMMARY", "")
        if not path:
            return
        data = self.scrub(text).encode("utf-8", "replace")
        try:
            if os.path.getsize(path) + len(data) > MAX_SUMMARY:
                self.warning("GitHub: the job summary is left out: with it the step's would have more than 1 MiB")
                return
            _append_all([(path, data)])
        except (OSError, UsageError) as error:
            why = error.strerror if isinstance(error, OSError) else error.summary
            self.warning(f"GitHub: the job summary can't be written: {why}")

    def set_outputs(self, values: Mapping[str, str]) -> None:
        """The step's outputs that are no secrets, scrubbed; one that is too long for the runner is a warning."""
        kept = {}
        for name, value in values.items():
            if len(value.encode("utf-8", "replace")) > MAX_OUTPUT:
                self.warning(f"GitHub: the output {name} is left out: it is longer than {MAX_OUTPUT} bytes")
            else:
                kept[name] = self.scrub(value)
        if kept and self._env.get("GITHUB_OUTPUT"):
            _append_all([(self._command_file("GITHUB_OUTPUT", "outputs"), render(list(kept.items())))])

    # -- state for the post step --

    def save_state(self, revocations: Sequence[Revocation]) -> None:
        """Record what the post step must revoke and delete; the last record wins. May be called from any thread.

        Raises :class:`UsageError` when there is no state file: a lease that nobody would revoke is not kept.
        """
        path = self._command_file("GITHUB_STATE", "the state for the post step")
        with self._lock:
            self._revocations = revocations
            files = self._files.written if self._files else []
            lines = state.dump(revocations, files)
            if sum(map(len, lines)) > MAX_STATE_TOTAL:
                # Revoking a token ends its leases too; their ids are a luxury then.
                lines = state.dump(revocations, files, children=False)
            chunks = _chunks(lines)
            pairs = [(f"{STATE_NAME}_{n}", chunk) for n, chunk in enumerate(chunks)]
            _append_all([(path, render([*pairs, (f"{STATE_NAME}_COUNT", str(len(chunks)))]))])

    def load_state(self, seal: Seal) -> state.State:
        """What the main step recorded; empty if it recorded nothing. Raises :class:`UsageError` if it is damaged."""
        count = self._env.get(f"STATE_{STATE_NAME}_COUNT", "")
        if not count:
            return state.State()
        numbers = range(int(count) if count.isascii() and count.isdigit() and len(count) < 4 else 0)
        chunks = [self._env.get(f"STATE_{STATE_NAME}_{n}", "") for n in numbers]
        return state.parse([line for chunk in chunks for line in chunk.split("\n")], seal, "GitHub: STATE_KEYLEASE")


def _chunks(lines: Sequence[str]) -> list[str]:
    """Lines packed into as few texts of MAX_STATE_CHUNK as their order allows; no line is cut."""
    chunks: list[list[str]] = []
    room = 0
    for line in lines:
        if len(line) > MAX_STATE_CHUNK:
            raise UsageError(
                "GitHub: the state for the post step has a record of more than 96 KiB",
                cause="a token or lease id of that size can't be handed to the post step",
                change="revoke: false leaves the lease to expire by itself",
                docs="state",
            )
        if len(line) >= room:
            chunks.append([])
            room = MAX_STATE_CHUNK
        chunks[-1].append(line)
        room -= len(line) + 1
    return ["\n".join(chunk) for chunk in chunks]


def render(pairs: Sequence[tuple[str, str]]) -> bytes:
    """Names and values in the heredoc form of an environment file.

    The runner takes all up to the newline before the delimiter's line, as it is: a value ends without, with one or
    with many newlines and arrives so. The delimiter is random, and checked all the same.
    """
    parts = []
    for name, value in pairs:
        delimiter = f"keylease_{secrets.token_hex(16)}"
        while delimiter in value:
            delimiter = f"keylease_{secrets.token_hex(16)}"
        parts.append(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")
    return "".join(parts).encode("utf-8")


def _append_all(writes: Sequence[tuple[str, bytes]]) -> None:
    """Append to several files, or to none: what was appended is cut off again if a later write fails."""
    done: list[tuple[int, int]] = []
    try:
        for path, data in writes:
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
                size = os.fstat(descriptor).st_size
                done.append((descriptor, size))
                # A writer before us in the same step may have left its last line open.
                is_open = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
                view = memoryview(b"\n" + data if is_open else data)
                while view:
                    view = view[os.write(descriptor, view) :]
            except OSError as error:
                raise UsageError(
                    f"GitHub: {path} can't be written: {error.strerror}",
                    cause="the runner's disk is full, or the file is not ours to write",
                    change="free space on the runner and run the job again",
                    docs="github-files",
                ) from None
    except BaseException:
        for descriptor, size in done:
            with suppress(OSError):
                os.ftruncate(descriptor, size)
        raise
    finally:
        for descriptor, _ in done:
            os.close(descriptor)
