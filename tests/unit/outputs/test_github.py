"""What the runner would read of what we write: always through an independent reading of its rules."""

# long file: one reader of the runner's formats, and every kind of thing that is written for it

import base64
import io
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keylease.errors import KeyleaseError, RefusedError, UsageError
from keylease.masking import Masker
from keylease.model import Export, Lease, Origin, Revocation
from keylease.outputs.files import HostPaths
from keylease.outputs.github import GitHubOutputs, render
from keylease.outputs.report import Row, escape, markdown, rows_of
from keylease.secret import Secret
from tests.fakes import runner_commands as runner
from tests.leaks import Seeded


class Step:
    """A step's files and output."""

    def __init__(self, tmp_path: Path) -> None:
        self.workspace = tmp_path / "workspace"
        self.temp = tmp_path / "temp"
        self.workspace.mkdir()
        self.temp.mkdir()
        self.env = {"GITHUB_WORKSPACE": str(self.workspace), "RUNNER_TEMP": str(self.temp)}
        for name in ("ENV", "OUTPUT", "STATE", "STEP_SUMMARY"):
            path = tmp_path / f"command_{name}"
            path.touch()
            self.env[f"GITHUB_{name}"] = str(path)
        self.raw = io.BytesIO()
        # Latin-1: what a step gets whose LC_ALL says so.
        self.outputs = GitHubOutputs(self.env, io.TextIOWrapper(self.raw, encoding="latin-1"))

    def read(self, name: str) -> bytes:
        return Path(self.env[f"GITHUB_{name}"]).read_bytes()

    def log(self) -> list[str]:
        return runner.output_lines(self.raw.getvalue())

    def commands(self) -> list[runner.Command]:
        return [found for line in self.log() if (found := runner.command(line))]


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step(tmp_path)


def export(name: str, value: str | bytes, **more: object) -> Export:
    return Export(name, Secret(value), "vault://kv/app#f", origin=Origin("keylease.yml", 3), **more)  # type: ignore[arg-type]


AWKWARD = [
    "", "\n", "\n\n", "\r\n", "a\r\n", "a\n", "\na", " a ", "a\rb", "%0A", "%25", "%", "100%%0D", "'\"`$(x)\\",
    "A=B", "A<<EOF\nx\nEOF", "EOF", "ü\u2028€😀", "::add-mask::x", "::stop-commands::t", "##[add-mask]x", "\t",
    "keylease_0123\nPATH=/evil", "ghadelimiter_x\nNODE_OPTIONS<<y\nz\ny", "\ufeffbom", "\x1b[31m", "\x85", "\x0c",
]  # fmt: skip


@pytest.mark.parametrize("value", AWKWARD)
def test_any_value_arrives_byte_for_byte_and_nothing_else_does(step: Step, value: str) -> None:
    step.outputs.deliver([export("FIRST", value, output=True), export("SECOND", "after")])
    assert runner.environment(step.read("ENV")) == {"FIRST": value, "SECOND": "after"}
    assert runner.key_values(step.read("OUTPUT")) == [("FIRST", value)]
    assert step.log() == []


@given(st.lists(st.tuples(st.from_regex(r"[A-Za-z_]\w{0,9}", fullmatch=True), st.text(max_size=80)), max_size=5))
def test_any_text_survives_the_heredoc(pairs: list[tuple[str, str]]) -> None:
    assert runner.key_values(render(pairs)) == pairs


def test_the_delimiter_is_drawn_again_if_the_value_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["aa", "aa", "bb"])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(drawn))
    pairs = [("A", "keylease_aa\nPATH=/evil")]
    assert b"A<<keylease_bb\n" in (data := render(pairs))
    assert runner.key_values(data) == pairs


def test_a_line_left_open_by_an_earlier_writer_is_closed(step: Step) -> None:
    Path(step.env["GITHUB_ENV"]).write_text("OTHER=1")
    step.outputs.deliver([export("A", "b")])
    assert runner.environment(step.read("ENV")) == {"OTHER": "1", "A": "b"}


def test_files_are_named_as_later_steps_see_them(tmp_path: Path) -> None:
    step = Step(tmp_path)
    host = HostPaths.parse("workspace=/home/runner/work/r/r;temp=/home/runner/work/_temp")
    outputs = GitHubOutputs(step.env, io.StringIO(), host)
    made = outputs.deliver([export("KEY", b"\xff\0bin", file="certs/key.der", output=True), export("A", "b")])
    assert runner.environment(step.read("ENV")) == {"KEY": "/home/runner/work/r/r/certs/key.der", "A": "b"}
    assert dict(runner.key_values(step.read("OUTPUT"))) == {"KEY": "/home/runner/work/r/r/certs/key.der"}
    assert (step.workspace / "certs/key.der").read_bytes() == b"\xff\0bin"
    assert [file.path for file in made] == [str(step.workspace / "certs/key.der")]


@pytest.mark.parametrize(
    "bad",
    [
        export("PATH", "x"),
        export("A B", "x"),
        export("GOOD", "x"),  # asked for twice
        export("BIN", b"\xff"),
        export("BIG", "x" * 1024 * 1024),
        export("NUL", "a\0b"),
        export("DIR", "x", file="a/../.git/hooks/pre-commit"),
    ],
)
def test_one_bad_value_and_nothing_is_written(step: Step, bad: Export) -> None:
    with pytest.raises(UsageError):
        step.outputs.deliver([export("GOOD", "value", output=True, file="good.txt"), bad])
    assert step.read("ENV") == step.read("OUTPUT") == b""
    assert list(step.workspace.rglob("*")) == list(step.temp.rglob("*")) == []


def test_a_write_that_fails_takes_back_what_was_written(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(step.env["GITHUB_OUTPUT"]).write_bytes(b"before=1\n")
    os.unlink(step.env["GITHUB_ENV"])
    os.symlink("/dev/full", step.env["GITHUB_ENV"])  # a full disk: every write gets ENOSPC
    monkeypatch.setattr("os.path.isfile", lambda _: True)
    with pytest.raises(UsageError, match="can't be written: No space left on device"):
        step.outputs.deliver([export("A", "value", output=True, file="a.txt")])
    assert step.read("OUTPUT") == b"before=1\n"
    assert list(step.temp.rglob("*")) == []


@pytest.mark.parametrize("missing", ["GITHUB_ENV", "GITHUB_OUTPUT"])
def test_missing_command_files_are_told(step: Step, missing: str) -> None:
    path = step.env.pop(missing)
    with pytest.raises(UsageError, match=f"{missing} is not set"):
        step.outputs.deliver([export("A", "v", output=True)])
    step.env[missing] = path
    os.unlink(path)
    with pytest.raises(UsageError, match=f"the file of {missing} is not there"):
        step.outputs.deliver([export("A", "v", output=True)])
    assert all(step.read(name) == b"" for name in ("ENV", "OUTPUT") if f"GITHUB_{name}" != missing)


# Masks.


@pytest.mark.parametrize("value", [v for v in AWKWARD if v.strip()] + ["line one\nline two", "%0Aabcd%25", "pass%word"])
def test_each_mask_arrives_as_it_is(step: Step, value: str) -> None:
    step.outputs.announce(value)
    assert [c.name for c in step.commands()] == ["add-mask"] * len(step.log())
    if "\n" not in value and "\r" not in value:
        assert runner.masks(step.raw.getvalue())[0] == value


def test_after_seal_a_multi_line_value_is_masked_in_the_log_line_by_line(step: Step) -> None:
    value = "-----BEGIN-----\r\nabcdef%0A\n\tghijkl  \n-----END-----\n"
    Masker(step.outputs.announce).seal(value, "pem")
    values = runner.masks(step.raw.getvalue())
    for line in value.splitlines():
        assert runner.mask(f"> {line.strip()} <", values) == "> *** <"


def test_a_short_line_of_a_long_value_does_not_become_a_mask(step: Step) -> None:
    value = '{\n  "password": "hunter22-long",\n  "on": true\n}\n'
    Masker(step.outputs.announce).seal(value, "json")
    values = runner.masks(step.raw.getvalue())
    assert runner.mask("if (x) { return true }", values) == "if (x) { return true }"
    assert runner.mask("got hunter22-long", values) == "got ***"
    # The one-line encodings of the whole, which the runner can't derive when it isn't told the whole.
    assert "hunter22" not in runner.mask(json.dumps(value), values)
    encoded = base64.b64encode(value.encode()).decode()
    assert len(runner.mask(encoded, values)) <= 8


def test_masks_of_many_threads_stay_whole(step: Step) -> None:
    masker = Masker(step.outputs.announce)
    threads = [
        threading.Thread(target=lambda n=n: [masker.seal(f"secret-{n}-{m}", "x") for m in range(40)]) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = step.log()
    assert len(step.commands()) == len(log)
    assert {f"secret-{n}-{m}" for n in range(8) for m in range(40)} <= set(runner.masks(step.raw.getvalue()))


def test_beyond_the_limit_there_is_one_warning_and_values_are_still_masked(
    step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keylease.outputs.github.MAX_ENCODED_MASKS", 5)
    masker = Masker(step.outputs.announce)
    step.outputs.scrub = masker.scrub  # as in the action: the warning is scrubbed while the value is being sealed
    thread = threading.Thread(target=lambda: [masker.seal(f"pass%word-{n}", "x") for n in range(3)], daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "deadlock"
    assert [c.data[:39] for c in step.commands() if c.name == "warning"] == ["GitHub: more than 5 encoded forms of th"]
    values = runner.masks(step.raw.getvalue())
    assert len(values) == 3 + 5
    assert {f"pass%word-{n}" for n in range(3)} <= set(values)


# Messages.


def test_an_error_is_one_annotation_and_the_whole_story(step: Step) -> None:
    error = RefusedError(
        "Vault: login refused: 100% sure\n::add-mask::*",
        cause="no such role\r\n##[error]x",
        change="bao write …\n::stop-commands::x",
        claims={"sub": "repo:a/b\n::set-output name=x::y"},
    )
    error.also = [UsageError("keylease.yml:7: leases[0]: unknown key")]
    step.outputs.error(error)
    first, second = step.commands()  # nothing else in there is a command
    assert first.name == second.name == "error"
    assert first.properties == {"title": "Keylease"}
    assert first.data.startswith("Vault: login refused: 100% sure")
    assert "no such role" in first.data
    assert second.properties == {"title": "Keylease", "file": "keylease.yml", "line": "7"}
    assert any(line.startswith("  change") for line in step.log())


def test_messages_are_scrubbed(step: Step, seeded: Seeded) -> None:
    masker = Masker()
    value = seeded.new("token")
    masker.seal(value, "t")
    step.outputs.scrub = masker.scrub
    broken_up = f"{value[:4]}\x1b[0m{value[4:]}"
    step.outputs.warning(f"server said {value} and {broken_up}")
    step.outputs.error(KeyleaseError(f"Vault: {value}", change=value))
    with step.outputs.group(f"group {value}"):
        step.outputs.message(f"in {value}")
    seeded.saw("stdout", step.raw.getvalue().decode())
    assert value not in step.raw.getvalue().decode()
    assert step.commands()[0].data == "server said *** and ***"
    assert [c.name for c in step.commands()] == ["warning", "error", "group", "endgroup"]


# The summary.


def test_the_summary_shows_what_from_where_and_until_when_but_no_value(step: Step, seeded: Seeded) -> None:
    value = seeded.new("db-password")
    lease = Lease("prod", "vault", {}, None, account="role ci", expires_at=1_900_000_000, fingerprint="ab" * 32)
    exports = [export("DB_PASSWORD", value, output=True, file="x/y.pem", expires_at=1_800_000_000)]
    step.outputs.summary(rows_of([lease], exports))
    text = step.read("STEP_SUMMARY").decode()
    assert "| login to prod | role ci |  | 2030-03-17 17:46:40 | " + "ab" * 32 + " |" in text
    assert (
        "| DB&#95;PASSWORD | vault&#58;//kv/app&#35;f | environment variable, output DB&#95;PASSWORD, file x/y.pem |"
        in text
    )
    assert value not in text


@pytest.mark.parametrize(
    "text", ["a|b", "`c`", "<img src=x>", "a\n| x | y |", "[a](http://x)", "**b**", "@acme/team", "a\\|b"]
)
def test_no_cell_can_be_more_than_text(text: str) -> None:
    table = markdown([Row(text, text, text)])
    row = table.splitlines()[4]
    assert table.count("\n") == 7 - 1
    assert row.count("|") == 6
    assert not set("`<>[]*@\\_") & set(row)
    assert "://" not in row
    assert escape("plain text, 1.0 (x)") == "plain text, 1.0 (x)"


def test_a_summary_that_github_would_drop_is_left_out(step: Step) -> None:
    Path(step.env["GITHUB_STEP_SUMMARY"]).write_bytes(b"x" * (1024 * 1024 - 10))
    step.outputs.summary([Row("a", "b")])
    assert len(step.read("STEP_SUMMARY")) == 1024 * 1024 - 10
    assert [c.name for c in step.commands()] == ["warning"]


def test_a_large_summary_is_cut_and_a_missing_file_is_no_failure(step: Step) -> None:
    step.outputs.summary([Row("x" * 1000, "€" * 1000)] * 20_000)
    assert len(step.read("STEP_SUMMARY")) < 1024 * 1024
    assert b"and 19500 more" in step.read("STEP_SUMMARY")
    os.unlink(step.env["GITHUB_STEP_SUMMARY"])
    step.outputs.summary([Row("a", "b")])
    assert "can't be written" in step.commands()[0].data
    del step.env["GITHUB_STEP_SUMMARY"]
    step.outputs.summary([Row("a", "b")])


# State.


def post(step: Step, **more: str) -> GitHubOutputs:
    state = {f"STATE_{name}": value for name, value in runner.key_values(step.read("STATE"))}
    return GitHubOutputs({**step.env, **state, **more}, io.StringIO())


def test_the_post_step_gets_the_last_state(step: Step) -> None:
    first = Revocation("vault", "prod", {"url": "https://v", "n": [1, None]}, Secret("s.tok'en\n%0A€"), True)
    step.outputs.save_state([first])
    first.add_child("database/creds/ci/abc")
    second = Revocation("vault", "other", {}, None, False, expires_at=1.5)
    step.outputs.save_state([first, second])
    sealed: list[str] = []
    masker = Masker(sealed.append)
    state = post(step).load_state(masker.seal)
    assert state.revocations == [first, second]
    assert "s.tok'en\n%0A€" in sealed


def test_files_are_in_the_state_before_they_hold_a_byte(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Revocation("vault", "prod", {}, Secret("token-1"))
    step.outputs.save_state([lease])
    sizes: list[int] = []
    saved = step.outputs.save_state

    def watching(revocations: list[Revocation]) -> None:
        saved(revocations)
        state = post(step).load_state(lambda value, _: Secret(value))
        assert state.revocations == [lease]
        (file,) = state.files
        sizes.append(os.path.getsize(os.path.join(os.path.dirname(file.path), file.temporary)))

    monkeypatch.setattr(step.outputs, "save_state", watching)
    step.outputs.deliver([export("A", "content", file="a.txt")])
    assert sizes == [0]


def test_a_step_without_a_post_step_remembers_its_files_elsewhere(step: Step) -> None:
    del step.env["GITHUB_STATE"]
    told: list[int] = []
    outputs = GitHubOutputs(step.env, io.StringIO(), remember=lambda files: told.append(len(files)))
    outputs.deliver([export("A", "content", file="a.txt"), export("B", "content", file="b.txt")])
    assert told == [1, 2]


def test_no_state_variable_is_too_large_to_start_the_post_step(step: Step) -> None:
    leases = [Revocation("vault", f"l{n}", {}, Secret(f"token-{n}"), n % 2 == 0) for n in range(4)]
    for lease in leases:
        for n in range(1500):
            lease.add_child(f"database/creds/some-role-name/{n:040}")
    step.outputs.save_state(leases)
    pairs = dict(runner.key_values(step.read("STATE")))
    assert len(pairs) > 3
    assert max(len(f"STATE_{k}={v}") for k, v in pairs.items()) < 128 * 1024
    assert post(step).load_state(lambda value, _: Secret(value)).revocations == leases


def test_of_an_immense_state_what_dies_with_its_token_is_left_out(step: Step) -> None:
    mine, given_by_user = Revocation("vault", "a", {}, Secret("token-a")), Revocation("vault", "b", {}, None, False)
    mine.children = [f"{n:0100}" for n in range(12_000)]
    given_by_user.children = ["keep"]
    step.outputs.save_state([mine, given_by_user])
    loaded = post(step).load_state(lambda value, _: Secret(value)).revocations
    assert [lease.children for lease in loaded] == [[], ["keep"]]


def test_no_state_is_empty_and_no_state_file_is_an_error(step: Step) -> None:
    assert post(step).load_state(lambda value, _: Secret(value)).revocations == []
    del step.env["GITHUB_STATE"]
    with pytest.raises(UsageError, match="GITHUB_STATE is not set"):
        step.outputs.save_state([])


@pytest.mark.parametrize(
    "more",
    [
        {"STATE_KEYLEASE_COUNT": "x"},
        {"STATE_KEYLEASE_COUNT": "9999999999"},
        {"STATE_KEYLEASE_COUNT": "2"},
        {"STATE_KEYLEASE_0": ""},
        {"STATE_KEYLEASE_0": '{"keylease":2}'},
        {"STATE_KEYLEASE_0": "[" * 100_000},
        {"STATE_KEYLEASE_0": '{"keylease":1}\n{"lease":{"provider":1}}'},
    ],
)
def test_damaged_state_is_an_error_not_a_crash(step: Step, more: dict[str, str]) -> None:
    step.outputs.save_state([Revocation("vault", "prod", {}, Secret("token-1"))])
    with pytest.raises(UsageError, match="GitHub: STATE_KEYLEASE: the state is"):
        post(step, **more).load_state(lambda value, _: Secret(value))


# Outputs and a summary that are no exports (a sync's).


def test_further_outputs_are_scrubbed_and_follow_what_is_there(step: Step, seeded: Seeded) -> None:
    value = seeded.new("value")
    masker = Masker()
    masker.seal(value, "a value")
    step.outputs.scrub = masker.scrub
    step.outputs.set_outputs({"sync_changes": "3", "sync_plan": f'{{"reason": "{value}"}}\n'})
    step.outputs.set_outputs({"more": "x"})
    assert runner.key_values(step.read("OUTPUT")) == [
        ("sync_changes", "3"),
        ("sync_plan", '{"reason": "***"}\n'),
        ("more", "x"),
    ]
    step.outputs.summary_text(f"### A title\n\n{value}\n")
    assert step.read("STEP_SUMMARY") == b"### A title\n\n***\n"
    assert step.log() == []


def test_an_output_that_github_would_drop_is_left_out_and_said(step: Step) -> None:
    step.outputs.set_outputs({"sync_changes": "9999", "sync_plan": "€" * 310_000})
    assert runner.key_values(step.read("OUTPUT")) == [("sync_changes", "9999")]
    [warning] = step.commands()
    assert (warning.name, "output sync_plan is left out" in warning.data) == ("warning", True)


def test_no_file_for_outputs_is_no_failure_of_a_sync(step: Step) -> None:
    del step.env["GITHUB_OUTPUT"]
    del step.env["GITHUB_STEP_SUMMARY"]
    step.outputs.set_outputs({"sync_changes": "1"})
    step.outputs.summary_text("text")
    assert step.log() == []
