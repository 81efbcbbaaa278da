"""Secret files: private, atomic, kept out of git, deleted at the end; and where they lie for whom."""

# long file: one job, and each part is needed by the one that writes.

import os
import re
import secrets
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from msgspec import Struct, field
from msgspec.structs import replace

from keylease.errors import UsageError
from keylease.model import Env, Export
from keylease.secret import Secret

# O_PATH (Linux): a directory on the way need not be readable, only searchable.
_DIRECTORY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

RUNNER_HOME = "/github/home"
"""What every runner mounts into an action's container: `_github_home` of its temporary directory (actions/runner:
ContainerActionHandler.cs). Runners before v2.329 mount nothing else of that directory."""

JOB_WORK = "/__w"
"""The runner's work directory, which holds the temporary one, in the container of a job that has `container:`
(actions/runner: ContainerInfo.cs)."""


class Written(Struct, frozen=True):
    """A file that we made.

    path: as this process sees it, every symbolic link resolved. host_path: as the job's later steps see it.
    temporary: its name before it was renamed. device, inode: which file is ours, whatever lies there later.
    directories: what was made for it, innermost first.
    """

    path: str
    host_path: str
    temporary: str
    device: int
    inode: int
    directories: tuple[str, ...] = ()


class HostPaths(Struct, frozen=True):
    """Where the runner keeps, outside the container, what is mounted into it. Empty where nothing was said.

    in_container: whether the job's other steps run in a container of the job's own (``container:``).
    """

    workspace: str = ""
    temp: str = ""
    in_container: bool = False

    @classmethod
    def parse(cls, text: str) -> "HostPaths":
        """``container=…;workspace=/home/…;temp=/home/…``, as action.yml's ``host-paths`` has it.

        Raises :class:`UsageError`.
        """
        match = re.fullmatch(
            r"(container=(?P<container>[\w.-]*);)?workspace=(?P<workspace>/.*?)/*;temp=(?P<temp>/.*?)/*", text.strip()
        )
        if match is None:
            raise UsageError(
                "host-paths: can't be understood",
                cause="it is set by action.yml and was changed in the workflow",
                change="remove `host-paths` from the step's `with:`",
                docs="host-paths",
            )
        return cls(match["workspace"], match["temp"], bool(match["container"]))


def is_mount_point(path: str) -> bool:
    """Whether something is mounted exactly there (proc_pid_mountinfo(5)); os.path.ismount misses bind mounts."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            points = [line.split(" ")[4] for line in file]
    except OSError:
        return os.path.ismount(path)
    return path in (re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), point) for point in points)


class Places:
    """The directories where files may lie, and their names inside and outside the container.

    host: given in the container action only, where nothing but the workspace and the runner's temporary directory
    is seen by later steps.
    """

    def __init__(
        self, env: Env, host: HostPaths | None = None, is_mounted: Callable[[str], bool] = is_mount_point
    ) -> None:
        self.in_container = host is not None
        workspace = env.get("GITHUB_WORKSPACE") or env.get("CI_PROJECT_DIR") or env.get("WORKSPACE") or os.getcwd()
        self.workspace = os.path.realpath(workspace)
        temp = env.get("RUNNER_TEMP") or env.get("WORKSPACE_TMP") or env.get("TMPDIR") or ""
        there = host.temp or temp if host is not None else temp
        # Older runners do not mount it (actions/runner#4011): there it is a name without a directory, or one that
        # only this container has. The home directory, which lies in it, they do.
        if temp and not (is_mounted(temp) if self.in_container else os.path.isdir(temp)):
            temp = ""
            if host is not None and host.temp and is_mounted(RUNNER_HOME):
                temp, there = RUNNER_HOME, f"{host.temp}/_github_home"
        if not temp and not self.in_container and os.path.isdir("/tmp"):  # noqa: S108  # made private below it
            temp = "/tmp"  # noqa: S108
        self.temp = os.path.realpath(temp) if temp else ""
        self._work = os.path.dirname(host.temp) if host is not None and host.in_container else ""
        self._pairs = []
        if host is not None:
            self._pairs = [(self.workspace, host.workspace or workspace)]
            if self.temp:
                # The longer name first: the temporary directory may lie in the workspace's parent.
                self._pairs.append((self.temp, there))
            self._pairs.sort(key=lambda pair: len(pair[1]), reverse=True)

    @property
    def default(self) -> str:
        """Outside the workspace if it can be: in no commit, image or artifact."""
        return self.temp or self.workspace

    def to_host(self, path: str) -> str:
        """The name that later steps know `path` by."""
        for here, there in self._pairs:
            if _is_within(path, here):
                return there + path[len(here) :]
        return path

    def to_job(self, path: str) -> str:
        """The name that the text of a file must use for a path as :meth:`to_host` gives it.

        The runner translates variables for a job's own container; what stands in files it can't.
        """
        return JOB_WORK + path[len(self._work) :] if self._work and _is_within(path, self._work) else path

    def to_here(self, path: str) -> str:
        """The name in this container of a path as the host, or the runner's own container path, has it."""
        for here, there in self._pairs:
            if _is_within(path, there):
                return here + path[len(there) :]
        return path

    def target(self, file: str) -> str:
        """The absolute path, here, for what the user wrote. Raises :class:`UsageError` if it can't be used.

        A mere name goes to a directory of its own in the temporary place; a relative path with a directory is
        relative to the workspace; an absolute path may be given as the host or as the container knows it.
        """
        name = os.path.basename(file)
        if name.strip() in ("", ".", "..") or not file.isprintable() or ".git" in file.split("/"):
            raise UsageError(
                f"file: {file!a} can't be the path of a secret file",
                cause="it is empty, a directory, in .git, or has control characters",
                change="give a path such as `file: gcp.json`, and use the variable that then holds the full path",
                docs="files",
            )
        if name == file:
            path = f"{self.default}/keylease-{secrets.token_hex(8)}/{name}"
        else:
            path = os.path.normpath(os.path.join(self.workspace, self.to_here(file)))
        parent = os.path.realpath(os.path.dirname(path))
        if self.in_container and not any(_is_within(parent, root) for root in (self.workspace, self.temp) if root):
            raise UsageError(
                f"file: {file} lies outside the workspace and the runner's temporary directory",
                cause="nothing else of this container is seen by later steps; or a directory on the way is a symbolic "
                "link that leads out",
                change="give a name, a path relative to the workspace, or one under ${{ runner.temp }}",
                docs="files",
            )
        return os.path.join(parent, os.path.basename(path))

    def owner(self) -> tuple[int, int] | None:
        """Whom files must belong to: the workspace's owner, when we are root and they are not."""
        if os.geteuid() != 0:
            return None
        status = os.stat(self.workspace)
        return (status.st_uid, status.st_gid) if status.st_uid != 0 else None


def _is_within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


class SecretFiles(Struct):
    """Writes the secret files of one run.

    remember: told of all files as soon as one more exists, before there is a byte in it. warn: told of what could
    not be kept out of git.
    """

    places: Places
    remember: Callable[[Sequence[Written]], None] = lambda _: None
    warn: Callable[[str], None] = lambda _: None
    written: list[Written] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    """A renewal in the background must not put a new file where all were deleted just now."""

    def write(self, file: str, data: bytes) -> Written:
        """Write `data` where the user asked for `file`; 0600, all at once. Raises :class:`UsageError`."""
        path = self.places.target(file)
        parent, name = os.path.split(path)
        try:
            with _opened(parent, self.places.owner()) as (directory, made):
                _check_free(directory, name, path)
                problem = keep_out_of_git(path, self.places)
                if problem:
                    self.warn(problem)

                def created(temporary: str, status: os.stat_result) -> None:
                    device, inode = status.st_dev, status.st_ino
                    host = self.places.to_host(path)
                    self.written.append(Written(path, host, temporary, device, inode, tuple(reversed(made))))
                    self.remember(self.written)

                _write_at(directory, name, data, self.places.owner(), created)
        except OSError as error:
            raise _cant_write(file, error) from None
        return self.written[-1]

    def rewrite(self, host_path: str, data: bytes) -> None:
        """Other content for a file of this run, all at once: who reads it meanwhile gets the old or the new.

        A file that was deleted meanwhile stays so. Raises :class:`UsageError`.
        """
        with self._lock:
            old = next((file for file in self.written if file.host_path == host_path), None)
            if old is not None:
                self._replace(old, data)

    def _replace(self, old: Written, data: bytes) -> None:
        before = list(self.written)
        parent, name = os.path.split(old.path)
        try:
            with _opened(parent, self.places.owner()) as (directory, _):

                def created(temporary: str, status: os.stat_result) -> None:
                    self.written.append(replace(old, temporary=temporary, device=status.st_dev, inode=status.st_ino))
                    self.remember(self.written)

                _write_at(directory, name, data, self.places.owner(), created)
        except BaseException as error:
            self.written[:] = before  # the new one is gone: nobody is to look for it
            if isinstance(error, OSError):
                raise _cant_write(old.host_path, error) from None
            raise
        self.written.remove(old)

    def discard(self) -> list[str]:
        """Delete all that was written; what could not be deleted, in words."""
        with self._lock:
            files, self.written = self.written, []
            return delete_files(files)


def place(exports: Sequence[Export], files: SecretFiles) -> list[Export]:
    """Write what goes to files; the same exports, holding the paths (as later steps know them) in the files' place.

    They must have passed :func:`keylease.outputs.names.check_exports`. Raises :class:`UsageError`.
    """
    paths: dict[str, str] = {}
    placed = []
    for export in exports:
        if export.file is not None:
            inside = {name: files.places.to_job(path) for name, path in paths.items()}
            value = export.render(inside) if export.render else export.value
            paths[export.name] = files.write(export.file, value.reveal_bytes()).host_path
        where = paths[export.name] if export.file is not None else paths[export.path_of] if export.path_of else None
        placed.append(export if where is None else replace(export, value=Secret(where), file=None))
    return placed


def _cant_write(file: str, error: OSError) -> UsageError:
    return UsageError(
        f"file: {file} can't be written: {error.strerror}",
        cause="a directory on the way is missing, read-only, or a symbolic link",
        change="choose another path, or leave out the directory to use the runner's temporary one",
        docs="files",
    )


@contextmanager
def _opened(path: str, owner: tuple[int, int] | None) -> Iterator[tuple[int, list[str]]]:
    """A directory opened without following any symbolic link; missing parts are made, mode 0700, and listed.

    What was made is removed again if the block fails and it is still empty.
    """
    made: list[str] = []
    descriptor = os.open("/", _DIRECTORY)
    at = ""
    try:
        for part in path.strip("/").split("/") if path != "/" else []:
            at += "/" + part
            try:
                inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
            except FileNotFoundError:
                os.mkdir(part, 0o700, dir_fd=descriptor)
                made.append(at)
                if owner:
                    os.chown(part, *owner, dir_fd=descriptor, follow_symlinks=False)
                inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor, made
    except BaseException:
        for directory in reversed(made):
            with suppress(OSError):
                os.rmdir(directory)
        raise
    finally:
        os.close(descriptor)


def _check_free(directory: int, name: str, path: str) -> None:
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    # A private file is what a run that was killed leaves behind; anything else is somebody's.
    if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) & 0o077 or status.st_nlink != 1:
        raise UsageError(
            f"file: {path} is there already and is not a private file",
            cause="it comes from the repository or an earlier step; it would be overwritten, and deleted at the end",
            change="choose another path",
            docs="files",
        )


def _write_at(
    directory: int,
    name: str,
    data: bytes,
    owner: tuple[int, int] | None,
    created: Callable[[str, os.stat_result], None] = lambda *_: None,
) -> None:
    temporary = f".{name[:100]}.{secrets.token_hex(6)}.tmp"
    try:
        # In here, since a signal can be raised as soon as the file is there.
        descriptor = os.open(temporary, _CREATE, 0o600, dir_fd=directory)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            if owner:
                os.fchown(descriptor, *owner)
            created(temporary, os.fstat(descriptor))
            file.write(data)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=directory)
        raise


def write_private(path: str, data: bytes) -> None:
    """Write a file that only its owner can read, all at once, replacing a regular file that was there.

    For what the user names on the command line. A symbolic link is not followed but refused; the directory must
    exist. Raises :class:`UsageError`.
    """
    parent, name = os.path.split(os.path.abspath(path))
    try:
        directory = os.open(os.path.realpath(parent), _DIRECTORY)
        try:
            try:
                regular = stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
            except FileNotFoundError:
                regular = True
            if not regular:
                raise UsageError(
                    f"{path} is not a regular file and is not written to",
                    cause="it is a symbolic link, a directory or a device",
                    change="name another file",
                    docs="files",
                )
            _write_at(directory, name, data, None)
        finally:
            os.close(directory)
    except OSError as error:
        raise _cant_write(path, error) from None


def sweep(path: str) -> None:
    """Delete what a process that was killed in :func:`write_private` left beside `path`; nobody may be writing it."""
    parent, name = os.path.split(os.path.abspath(path))
    ours = re.compile(rf"\.{re.escape(name[:100])}\.[0-9a-f]{{12}}\.tmp")
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if ours.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                os.unlink(entry.path)


def delete_files(files: Sequence[Written]) -> list[str]:
    """Delete what we made, and nothing else; what is left, in words. Missing files are no error.

    A file is known by device and inode, so one that another program has put in the place of ours is left alone
    (unless ours was deleted before and the file system gave its inode to the new one of the same name).
    """
    problems = []
    for file in files:
        parent, name = os.path.split(file.path)
        try:
            directory = os.open(os.path.realpath(parent), _DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            problems.append(f"{file.path} can't be deleted: {error.strerror}")
            continue
        try:
            for candidate in (file.temporary, name):
                try:
                    status = os.stat(candidate, dir_fd=directory, follow_symlinks=False)
                    if (status.st_dev, status.st_ino) == (file.device, file.inode):
                        os.unlink(candidate, dir_fd=directory)
                    elif candidate == name:
                        problems.append(f"{file.path} was replaced by another file, which is left alone")
                except FileNotFoundError:
                    continue
                except OSError as error:
                    problems.append(f"{file.path} can't be deleted: {error.strerror}")
        finally:
            os.close(directory)
    # The innermost first, and only when all files are gone: one directory may have been made for several.
    for made in sorted({made for file in files for made in file.directories}, key=len, reverse=True):
        with suppress(OSError):  # not empty: somebody else's files are in it
            os.rmdir(made)
    return problems


def keep_out_of_git(path: str, places: Places) -> str | None:
    """Put `path` into the ``info/exclude`` of the repository it lies in; what went wrong, or None.

    There is no git in the image: .git is read as gitrepository-layout(5) describes it, also where it is a file
    (worktrees, submodules).
    """
    top = os.path.dirname(path)
    while not os.path.lexists(os.path.join(top, ".git")):
        if top in ("/", places.workspace) or (places.in_container and top == places.temp):
            return None
        top = os.path.dirname(top)
    try:
        common = _common_directory(os.path.join(top, ".git"), places)
        if places.in_container and not _is_within(common, places.workspace):
            return f"{path} can't be kept out of git: its repository ({common}) is outside the workspace"
        pattern = _pattern(os.path.relpath(path, top))
        with _opened(os.path.join(common, "info"), places.owner()) as (directory, _):
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with os.fdopen(os.open("exclude", flags, 0o644, dir_fd=directory), "rb+", buffering=0) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise OSError
                owner = places.owner()
                if owner and status.st_size == 0 and status.st_nlink == 1:  # made just now
                    os.fchown(file.fileno(), *owner)
                text = file.readall()
                if pattern not in text.split(b"\n"):
                    newline = b"" if text.endswith(b"\n") or not text else b"\n"
                    file.write(newline + pattern + b"\n")
    except OSError as error:
        return f"{path} can't be kept out of git: {error.strerror or 'its .git is not understood'}"
    return None


def _common_directory(git: str, places: Places) -> str:
    if not os.path.isdir(git):
        if not os.path.isfile(git):
            raise OSError
        text = _text_of(git)
        if not text.startswith("gitdir: "):
            raise OSError
        where = places.to_here(text.removeprefix("gitdir: ").rstrip("\n"))
        git = os.path.join(os.path.dirname(git), where)
    with suppress(FileNotFoundError):
        git = os.path.join(git, places.to_here(_text_of(os.path.join(git, "commondir")).rstrip("\n")))
    return os.path.realpath(git, strict=True)


def _text_of(path: str) -> str:
    """The beginning of a regular file. A pipe that an earlier step put there would hold us for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, encoding="utf-8", errors="surrogateescape") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError
        return file.read(10_000)


def _pattern(relative: str) -> bytes:
    """The gitignore(5) pattern for exactly this path: anchored, with its wildcards escaped."""
    escaped = re.sub(r"([\\*?\[])", r"\\\1", relative)
    if escaped.endswith(" "):
        escaped = escaped[:-1] + "\\ "
    return b"/" + os.fsencode(escaped)
