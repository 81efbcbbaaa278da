"""The private state file, and its format."""

import json
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keylease.errors import UsageError
from keylease.masking import Masker
from keylease.model import Revocation
from keylease.outputs import state
from keylease.outputs.files import Written
from keylease.outputs.state import StateFile, default_path
from keylease.secret import Secret
from tests.leaks import Seeded

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of other users")
FILE = Written("/ws/a", "/ws/a", ".a.tmp", 1, 2, ("/ws/d",))


def seal(value: str | bytes, label: str) -> Secret:
    return Secret(value)


def lease(token: str | bytes | None = "s.token-1", **more: object) -> Revocation:
    return Revocation("vault", "prod", {"url": "https://v"}, None if token is None else Secret(token), **more)  # type: ignore[arg-type]


@given(
    token=st.none() | st.text() | st.binary(),
    label=st.text(),
    children=st.lists(st.text(), max_size=500),
    own=st.booleans(),
    expires=st.none() | st.floats(0, 1e12) | st.integers(0, 10**12),
)
def test_what_goes_in_comes_out(
    token: str | bytes | None, label: str, children: list[str], own: bool, expires: float | None
) -> None:
    item = Revocation("vault", label, {"a": [1, None, "x"]}, None if token is None else Secret(token), own)
    item.children, item.expires_at = children, expires
    lines = state.dump([item, lease()], [FILE])
    assert all(line.isascii() and "\n" not in line for line in lines)
    loaded = state.parse(lines, seal, "x")
    assert loaded.revocations == [item, lease()]
    assert loaded.files == [FILE]


def test_the_file_is_private_and_tokens_are_sealed_when_read(tmp_path: Path, seeded: Seeded) -> None:
    token = seeded.new("vault-token")
    path = tmp_path / "x.state"
    seeded.allow_file(path, token)
    StateFile(path).save([lease(token)], [FILE])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    announced: list[str] = []
    loaded = StateFile(path).load(Masker(announced.append).seal)
    assert loaded.revocations == [lease(token)]
    assert announced == [token]
    for _ in range(2):
        file = StateFile(path)
        file.load(seal)
        file.finish([])
        assert not path.exists()
    assert StateFile(path).load(seal) == state.State()


def test_only_what_revoking_needs_is_in_it(tmp_path: Path) -> None:
    StateFile(tmp_path / "x").save([lease()])
    (line,) = (tmp_path / "x").read_text().splitlines()[1:]
    assert set(json.loads(line)["lease"]) == {
        "provider", "label", "data", "token", "own_token", "strict", "expires_at",
    }  # fmt: skip


def test_a_second_lease_of_the_same_job_keeps_the_first(tmp_path: Path) -> None:
    StateFile(tmp_path / "x").save([lease("token-1")])
    second = StateFile(tmp_path / "x")
    other = lease("token-2")
    second.save([other])
    other.add_child("db/creds/1")
    second.save([other], [FILE])
    loaded = StateFile(tmp_path / "x").load(seal)
    assert loaded.revocations == [lease("token-1"), other]
    assert loaded.files == [FILE]


GOOD = state.dump([lease()], [FILE])
CHANGES = [
    ('"s.token-1"', "1"),
    ('"prod"', "null"),
    ('{"url":"https://v"}', "[]"),
    ('"own_token":true', '"own_token":"yes"'),
    ('"expires_at":null', '"expires_at":"soon"'),
    ('"inode":2', '"inode":"2"'),
    ('"path":"/ws/a"', '"path":"a"'),
    ('"provider":"vault",', ""),
    ('"token":', '"token_base64":'),
    ('"strict":false', '"strict":0'),
]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "{}",
        "null",
        "[]",
        '{"keylease":99}',
        '{"keylease":true}x',
        "garbage",
        "[" * 100_000,
        "\xff\x00",
        GOOD[1],
        "\n".join(GOOD)[:-5],
        "\n".join([*GOOD, '{"more":1}']),
        "\n".join([*GOOD, ""]) + "\n",
        GOOD[0] + '\n{"children":["x"]}',
        "\n".join([*GOOD, '{"children":"x"}']),
        "\n".join([*GOOD, '{"children":[1]}']),
        *("\n".join(GOOD).replace(*change) for change in CHANGES),
    ],
)
def test_garbage_is_an_error_that_quotes_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    for use in (lambda: StateFile(path).load(seal), lambda: StateFile(path).save([lease()])):
        with pytest.raises(UsageError, match="the state is damaged") as e:
            use()
        assert "token-1" not in e.value.diagnostics(debug=True)
        assert e.value.__context__ is None
    assert path.read_bytes() == text.encode("latin-1")


def test_a_state_of_absurd_size_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.touch(0o600)
    os.truncate(path, state.MAX_STATE + 1)
    with pytest.raises(UsageError, match="it has more than"):
        StateFile(path).load(seal)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "x"
    StateFile(path).save([lease()])
    path.chmod(mode)
    with pytest.raises(UsageError, match=f"others may use it .mode {mode:04o}"):
        StateFile(path).load(seal)


def test_links_pipes_and_directories_are_refused(tmp_path: Path) -> None:
    StateFile(tmp_path / "real").save([lease()])
    (tmp_path / "link").symlink_to("real")
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "dir").mkdir(0o700)
    for name in ("link", "pipe", "dir"):
        with pytest.raises(UsageError, match="is not used"):
            StateFile(tmp_path / name).load(seal)
        with pytest.raises(UsageError):
            StateFile(tmp_path / name).save([lease()])
    assert (tmp_path / "link").is_symlink()


@as_root
def test_somebody_elses_file_or_directory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    StateFile(path).save([lease()])
    os.chown(path, 12345, 0)
    with pytest.raises(UsageError, match="it belongs to user 12345"):
        StateFile(path).load(seal)
    directory = tmp_path / "keylease-0"
    directory.mkdir(0o700)
    os.chown(directory, 12345, 0)
    with pytest.raises(UsageError, match="it belongs to user 12345"):
        default_path({"TMPDIR": str(tmp_path)})


def test_the_default_place_is_private_and_one_per_job(tmp_path: Path) -> None:
    tmp = {"TMPDIR": str(tmp_path)}
    one, two = default_path({**tmp, "CI_JOB_ID": "1"}), default_path({**tmp, "CI_JOB_ID": "2"})
    assert one != two
    assert one == default_path({**tmp, "CI_JOB_ID": "1", "CI_JOB_STAGE": "test"})
    assert one.parent == tmp_path / f"keylease-{os.geteuid()}"
    assert stat.S_IMODE(one.parent.stat().st_mode) == 0o700
    one.parent.chmod(0o755)
    with pytest.raises(UsageError, match="others may use it"):
        default_path(tmp)
    one.parent.rmdir()
    one.parent.symlink_to(tmp_path)
    with pytest.raises(UsageError, match="symbolic link"):
        default_path(tmp)


def test_the_default_place_is_outside_the_workspace_where_the_platform_has_one(tmp_path: Path) -> None:
    for name in ("project.tmp", "ws@tmp", "run", "tmp"):
        (tmp_path / name).mkdir()
    gitlab = {"CI_PROJECT_DIR": str(tmp_path / "project"), "CI_JOB_ID": "1"}
    jenkins = {"WORKSPACE": str(tmp_path / "ws"), "WORKSPACE_TMP": str(tmp_path / "ws@tmp"), "BUILD_TAG": "b"}
    rest = {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "TMPDIR": str(tmp_path / "tmp")}
    assert default_path({**rest, **gitlab}).parent.parent == tmp_path / "project.tmp"
    assert default_path({**rest, **jenkins}).parent.parent == tmp_path / "ws@tmp"
    assert default_path(rest).parent.parent == tmp_path / "run"
    gitlab["CI_PROJECT_DIR"] = str(tmp_path / "other")
    assert default_path({"TMPDIR": rest["TMPDIR"], **gitlab}).parent.parent == tmp_path / "tmp"
    with pytest.raises(UsageError, match="can't be made"):
        default_path({"TMPDIR": str(tmp_path / "none")})


def labels(path: Path) -> list[str]:
    return [item.label for item in StateFile(path).load(Masker().seal).revocations]


def named(*labels: str) -> list[Revocation]:
    return [Revocation("vault", label, {}, None) for label in labels]


def test_after_revoking_only_what_is_left_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "state"
    StateFile(path).save(named("one", "two"))
    file = StateFile(path)
    file.load(Masker().seal)
    file.finish(named("two"))
    assert labels(path) == ["two"]


def test_leases_taken_side_by_side_keep_each_other(tmp_path: Path) -> None:
    path = tmp_path / "state"
    one, two = StateFile(path), StateFile(path)
    one.save(named("one"))
    two.save(named("two"))
    one.save(named("one", "one's other"))
    two.save(named("two"))
    assert sorted(labels(path)) == ["one", "one's other", "two"]
    one.save([])
    assert labels(path) == ["two"]


def test_what_is_leased_while_others_are_revoked_stays_in_the_state(tmp_path: Path) -> None:
    path = tmp_path / "state"
    StateFile(path).save(named("one"))
    revoking = StateFile(path)
    revoking.load(Masker().seal)
    StateFile(path).save(named("two"))
    revoking.finish([])
    assert labels(path) == ["two"]


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state"
    names = [f"lease {n}" for n in range(16)]
    threads = [threading.Thread(target=StateFile(path).save, args=(named(name),)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(labels(path)) == sorted(names)


def test_jobs_of_one_github_run_on_one_machine_have_states_of_their_own(tmp_path: Path) -> None:
    github = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "7", "TMPDIR": str(tmp_path)}
    places = set()
    for job, runner in (("build", "a"), ("deploy", "a"), ("deploy", "b")):
        (tmp_path / runner).mkdir(exist_ok=True)
        env = {**github, "GITHUB_JOB": job, "RUNNER_NAME": runner, "RUNNER_TEMP": str(tmp_path / runner)}
        places.add(default_path(env))
        assert default_path(env).parent.parent == tmp_path / runner
    assert len(places) == 3


def test_what_a_killed_process_left_beside_the_state_is_deleted(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "job.state")
    file.save([lease()])
    (tmp_path / ".job.state.0123456789ab.tmp").write_text("s.token-1")
    others = [".job.state.tmp", ".other.state.0123456789ab.tmp", ".job.state.0123456789ab.tmp.x"]
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / ".job.state.ba9876543210.tmp").symlink_to(tmp_path / "job.state")
    assert len(file.load(seal).revocations) == 1
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file() and not path.is_symlink()) == sorted(
        [*others, "job.state"]
    )
