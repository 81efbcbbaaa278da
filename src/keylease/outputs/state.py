"""What the end of the job must know: the tokens needed to revoke, lease ids, and the files to delete.

One format for both channels (GitHub's state variables, a private file elsewhere): JSON lines, ASCII. A token stands
whole in one line, so that a platform which prints its state in a debug log still masks it.

    {"keylease": 1}
    {"lease": {provider, label, data, token, own_token, strict, expires_at}}
    {"children": [ids …]}              of the lease above
    {"file": {path, temporary, device, inode, directories}}
"""

import base64
import fcntl
import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict

from keylease.errors import UsageError
from keylease.model import Env, Revocation, Seal
from keylease.outputs.files import Written, sweep, write_private

VERSION = 1
MAX_STATE = 16 * 1024 * 1024
"""Bytes of a state file that are read at most."""

_CHILDREN_PER_LINE = 200

_JOB = ("CI_JOB_ID", "BUILD_TAG", "WORKSPACE", "BUILDKITE_JOB_ID", "GITHUB_RUN_ID", "GITHUB_JOB", "RUNNER_NAME")
"""Variables that together tell a job from every other one on the machine at the same time."""

LOCK_PATIENCE = 5.0
"""Seconds to wait for another process of the job that writes the state."""


class State(Struct):
    """revocations: leases to end. files: files that we made and that must go."""

    revocations: list[Revocation] = field(default_factory=list)
    files: list[Written] = field(default_factory=list)


def dump(revocations: Sequence[Revocation], files: Sequence[Written] = (), *, children: bool = True) -> list[str]:
    """The lines for these leases and files. `children` False leaves out what dies with its own token."""
    return [_line({"keylease": VERSION}), *_items(revocations, files, children=children)]


def _items(revocations: Sequence[Revocation], files: Sequence[Written], *, children: bool) -> Iterator[str]:
    for item in revocations:
        lease: dict[str, Any] = {"provider": item.provider, "label": item.label, "data": item.data}
        if item.token is not None:
            lease |= (
                {"token": item.token.reveal()}
                if item.token.is_text
                else {"token_base64": base64.b64encode(item.token.reveal_bytes()).decode("ascii")}
            )
        lease |= {"own_token": item.own_token, "expires_at": item.expires_at, "strict": item.strict}
        yield _line({"lease": lease})
        ids = list(item.children) if children or not item.own_token else []  # a copy: other threads append
        for at in range(0, len(ids), _CHILDREN_PER_LINE):
            yield _line({"children": ids[at : at + _CHILDREN_PER_LINE]})
    for file in files:
        yield _line({"file": {**asdict(file), "host_path": None}})


def _line(node: dict[str, Any]) -> str:
    return json.dumps(node, separators=(",", ":"), allow_nan=False)


def parse(lines: Iterable[str], seal: Seal, source: str) -> State:
    """The state in `lines`; tokens are sealed. Raises :class:`UsageError` naming the line where it is damaged."""
    state = State()
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            _add(state, json.loads(line), seal, first=number == 1)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        number = number or 1
    else:
        if number:
            return state
    # Raised outside the handler: a decoder's exception quotes the text, and chaining would keep it.
    raise UsageError(
        f"{source}: the state is damaged (line {number})" if number else f"{source}: the state is empty",
        cause="it was cut off, changed by another program, or written by another version of Keylease",
        change="revoke by hand what the job leased, or let it expire; delete the file if it is one",
        docs="state",
    )


def _add(state: State, node: dict[str, Any], seal: Seal, *, first: bool) -> None:
    ((kind, item),) = node.items()
    if first or kind == "keylease":
        _require(kind == "keylease" and item == VERSION)
    elif kind == "lease":
        token = None
        if "token" in item:
            token = seal(_text(item["token"]), f"token of {_text(item['label'])}")
        elif "token_base64" in item:
            token = seal(base64.b64decode(_text(item["token_base64"]), validate=True), f"token of {item['label']}")
        _require(isinstance(item["data"], dict) and all(isinstance(item[k], bool) for k in ("own_token", "strict")))
        expires_at = item["expires_at"]
        _require(expires_at is None or (isinstance(expires_at, int | float) and not isinstance(expires_at, bool)))
        state.revocations.append(
            Revocation(
                provider=_text(item["provider"]),
                label=_text(item["label"]),
                data=item["data"],
                token=token,
                own_token=item["own_token"],
                strict=item["strict"],
                expires_at=expires_at,
            )
        )
    elif kind == "children":
        _require(bool(state.revocations) and isinstance(item, list))
        state.revocations[-1].children += [_text(child) for child in item]
    elif kind == "file":
        path = _text(item["path"])
        _require(path.startswith("/") and isinstance(item["device"], int) and isinstance(item["inode"], int))
        state.files.append(
            Written(
                path=path,
                host_path=path,
                temporary=_text(item["temporary"]),
                device=item["device"],
                inode=item["inode"],
                directories=tuple(_text(directory) for directory in item["directories"]),
            )
        )
    else:
        _require(False)


def _text(value: object) -> str:
    _require(isinstance(value, str))
    return str(value)


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError("not a state that we wrote")


class StateFile:
    """The state of a job on a platform without a state channel: a file that only its owner can read.

    Several ``keylease lease`` of one job share it, also side by side: each replaces its own lines and keeps the rest.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._ours: list[str] = []

    def save(self, revocations: Sequence[Revocation], files: Sequence[Written] = ()) -> None:
        """Write all of this process's leases and files in the place of what it saved or loaded before.

        Raises :class:`UsageError` if the place is not private or can't be written.
        """
        with self._lock, _locked(self.path.parent):
            first, *ours = dump(revocations, files)
            text = "\n".join([first, *self._others(), *ours]) + "\n"
            write_private(str(self.path), text.encode("ascii"))
            self._ours = ours

    def finish(self, left: Sequence[Revocation]) -> None:
        """After revoking what was loaded: keep what is `left` and what others saved meanwhile; no file for nothing."""
        with self._lock, _locked(self.path.parent):
            first, *ours = dump(left)
            lines = [*self._others(), *ours]
            if lines:
                write_private(str(self.path), ("\n".join([first, *lines]) + "\n").encode("ascii"))
            else:
                self.path.unlink(missing_ok=True)
            self._ours = ours

    def _others(self) -> list[str]:
        lines = self._read()
        parse(lines, _no_seal, str(self.path)) if lines else None
        others, size = lines[1:], len(self._ours)
        for at in range(len(others) - size + 1):
            if others[at : at + size] == self._ours:
                return others[:at] + others[at + size :]
        return others

    def load(self, seal: Seal) -> State:
        """What was saved; nothing if there is no file. Raises :class:`UsageError` if it is damaged or not private.

        Text that a process which was killed in :meth:`save` left beside it is deleted.
        """
        with self._lock, _locked(self.path.parent):
            sweep(str(self.path))
        lines = self._read()
        state = parse(lines, seal, str(self.path)) if lines else State()
        self._ours = lines[1:]
        return state

    def _read(self) -> list[str]:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise _not_private(self.path, error.strerror or "it can't be opened") from None
        try:
            _check_private(self.path, os.fstat(descriptor), stat.S_ISREG)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(MAX_STATE + 1)
        finally:
            os.close(descriptor)
        if len(data) > MAX_STATE:
            raise _not_private(self.path, f"it has more than {MAX_STATE} bytes")
        # A file that is there but empty was cut off: one line that parse() then refuses.
        return data.decode("ascii", "replace").removesuffix("\n").split("\n")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other processes of the job from writing in between, as far as strangers don't block the directory."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # reading or writing the file tells it better
        yield
        return
    try:
        until = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() < until:
                    time.sleep(0.01)
                    continue
            break
        yield
    finally:
        os.close(descriptor)


def _no_seal(value: str | bytes, label: str) -> Any:  # noqa: ARG001  # only the shape is looked at
    return None


def default_path(env: Env) -> Path:
    """Where the state of this job lies if nobody says: outside the workspace, private, one file per job.

    GitHub's RUNNER_TEMP (each runner's own: several jobs of one run may share a machine), Jenkins' WORKSPACE_TMP,
    GitLab's CI_PROJECT_DIR.tmp (shared by a job's script and after_script), XDG_RUNTIME_DIR, then TMPDIR. The
    directory in it, ``keylease-UID``, is made with mode 0700; raises :class:`UsageError` if somebody
    else made it.
    """
    gitlab = env.get("CI_PROJECT_DIR", "") + ".tmp"
    github = env.get("RUNNER_TEMP") if env.get("GITHUB_ACTIONS") == "true" else None
    jenkins = env.get("WORKSPACE_TMP")
    candidates = [github, jenkins, gitlab if len(gitlab) > 4 else None, env.get("XDG_RUNTIME_DIR")]
    base = next((Path(c) for c in candidates if c and Path(c).is_dir()), Path(env.get("TMPDIR") or "/tmp"))  # noqa: S108
    directory = base / f"keylease-{os.geteuid()}"
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise UsageError(
            f"state: {directory} can't be made: {error.strerror}",
            change="name a place: --state FILE, or set TMPDIR to a directory that can be written",
            docs="state",
        ) from None
    _check_private(directory, directory.lstat(), stat.S_ISDIR)
    job = [env.get(name, "") for name in _JOB]
    identity = "\0".join(job if any(job) else ["", os.getcwd()])
    return directory / f"{hashlib.sha256(identity.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.state"


def _check_private(path: Path, status: os.stat_result, is_kind: Any) -> None:
    if not is_kind(status.st_mode):
        raise _not_private(path, "it is a symbolic link or not of the right kind")
    if status.st_uid != os.geteuid():
        raise _not_private(path, f"it belongs to user {status.st_uid}, not to us")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise _not_private(path, f"others may use it (mode {stat.S_IMODE(status.st_mode):04o})")


def _not_private(path: Path, why: str) -> UsageError:
    return UsageError(
        f"state: {path} is not used: {why}",
        cause="the state holds the token that revokes the leases; nobody else may read or replace it",
        change="remove it, or name another place: --state FILE",
        docs="state",
    )
