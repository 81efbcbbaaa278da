"""The test engine itself: act runs our image for real, and `RunnerJob` does what the hosted runner would."""

import re
from pathlib import Path

import pytest

from tests.e2e.engine import Engine
from tests.e2e.runner import RunnerError, RunnerJob, read_pairs

# A stand-in for the action's own code, so that these tests judge the engine and not Keylease.
PROBE = """
import os, sys
state = {name: value for name, value in os.environ.items() if name.startswith("STATE_")}
if sys.argv[1:] == ["post"] or state:
    print("post got", sorted(state.items()))
    sys.exit(3)
print("::add-mask::lone%25")
print("::add-mask::value%25to%0Amask")
print("input is", os.environ["INPUT_BAO-ADDR"], "default is", os.environ["INPUT_WITH_SPACE"])
print("these are lone% and value%to and mask")
with open(os.environ["GITHUB_ENV"], "a") as file:
    file.write("FROM_ACTION<<EOF_1\\nvalue%to\\nmask\\nEOF_1\\nNODE_OPTIONS=--inspect\\n")
with open(os.environ["GITHUB_OUTPUT"], "a") as file:
    file.write("place=" + os.environ["GITHUB_WORKSPACE"] + "\\n")
with open(os.environ["GITHUB_STATE"], "a") as file:
    file.write("accessor=a=b\\nleases<<X\\none\\n\\ntwo\\nX\\n")
print("here", os.getcwd(), os.environ["HOME"], os.environ.get("RUNNER_TEMP"))
print("mounted", os.path.exists("/var/run/docker.sock"), os.access(os.environ["HOME"], os.W_OK))
"""
ACTION = f"""\
name: probe
description: shows what a container step gets
inputs:
  bao-addr: {{description: an input with a hyphen}}
  with space: {{description: an input with a space, default: "in ${{{{ runner.temp }}}}"}}
runs:
  using: docker
  image: Dockerfile
  entrypoint: /opt/keylease/bin/python3
  post-entrypoint: /opt/keylease/bin/python3
  args:
    - -ISBc
    - |
{"".join(f"      {line}" + chr(10) for line in PROBE.strip().splitlines())}
"""
WORKFLOW = """\
on: push
jobs:
  job:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - id: probe
        uses: ./
        with:
          bao-addr: http://127.0.0.1:8200
      - run: |
          test "$FROM_ACTION" = "$(printf 'value%%to\\nmask')"
          echo "output is ${{ steps.probe.outputs.place }}; secret is $SECRET; odd is <$ODD>"
        env:
          SECRET: ${{ secrets.TOKEN }}
"""


def test_act_builds_our_image_and_runs_it_as_a_step(engine: Engine, tmp_path: Path) -> None:
    """Not like the runner: act masks a value of several lines only as a whole, and drops inputs' defaults in post."""
    action = re.sub("  post-entrypoint: .*\n", "", ACTION)
    workspace = engine.workspace(tmp_path / "repo", workflow=WORKFLOW, files={"action.yml": action})
    odd = "a\"b $HOME \\n 'c' #d"
    done = engine.run_act(workspace, env={"ODD": odd}, secrets={"TOKEN": 'pa$$"word'})
    assert "Job succeeded" in done.log, done.log
    assert done.exit_code == 0
    assert "input is http://127.0.0.1:8200" in done.log
    assert "these are ***" in done.log
    assert f"output is {workspace}; secret is ***; odd is <{odd}>" in done.log


def test_act_fails_when_a_step_fails(engine: Engine, tmp_path: Path) -> None:
    workflow = "on: push\njobs: {job: {runs-on: ubuntu-latest, steps: [{run: exit 7}]}}\n"
    done = engine.run_act(engine.workspace(tmp_path / "repo", workflow=workflow))
    assert done.exit_code != 0
    assert "exitcode '7'" in done.log


@pytest.fixture
def job(engine: Engine, tmp_path: Path) -> RunnerJob:
    action = tmp_path / "action.yml"
    action.write_text(ACTION)
    return engine.runner_job(tmp_path / "job", action=action, env={"RUNNER_DEBUG": "1"})


def test_runner_job_hands_state_masks_and_variables_on(job: RunnerJob) -> None:
    main = job.run("main", inputs={"bao-addr": "http://127.0.0.1:8200"})
    assert main.exit_code == 0, main.raw
    assert "input is http://127.0.0.1:8200 default is in " + str(job.temp) in main.log
    assert main.env == {"FROM_ACTION": "value%to\nmask"}
    assert main.blocked == ["NODE_OPTIONS"]
    assert main.outputs == {"place": "/github/workspace"}
    assert main.state == {"accessor": "a=b", "leases": "one\n\ntwo"}
    assert main.masks == ["lone%", "value%to\nmask", "value%to", "mask"]
    assert "these are *** and *** and ***" in main.log
    assert "add-mask" not in main.log
    assert "here /github/workspace /github/home /github/runner_temp" in main.log
    assert "mounted True True" in main.log
    assert job.env["FROM_ACTION"] == "value%to\nmask"

    post = job.run("post")
    assert post.exit_code == 3
    assert "post got [('STATE_accessor', 'a=b'), ('STATE_leases', 'one\\n\\ntwo')]" in post.raw


def test_runner_job_translates_paths_both_ways(job: RunnerJob) -> None:
    assert job.to_container(str(job.workspace / "a/b")) == "/github/workspace/a/b"
    assert job.to_container(str(job.temp)) == "/github/runner_temp"
    assert job.to_container(f"{job.workspace}-other") == f"{job.workspace}-other"
    assert job.to_container(f"x={job.workspace}") == f"x={job.workspace}"
    assert job.to_host("/github/runner_temp/token") == job.temp / "token"
    with pytest.raises(RunnerError):
        job.to_host("/etc/passwd")


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", []),
        ("\n\nA=1\n", [("A", "1")]),
        ("A=", [("A", "")]),
        ("A=b<<c\n", [("A", "b<<c")]),
        ("A<<E\nE\n", [("A", "")]),
        ("A<<E\n\nE\n", [("A", "")]),
        ("A<<E\n\n\nE", [("A", "\n")]),
        ("A<<E\nx=1\r\nE\nB=2\r\n", [("A", "x=1\r"), ("B", "2\r")]),
        ("A<<E=1\nv\nE=1\n", [("A", "v")]),
    ],
)
def test_environment_files_are_read_as_the_runner_reads_them(
    tmp_path: Path, text: str, pairs: list[tuple[str, str]]
) -> None:
    """Cases of actions/runner's own SetEnvFileCommandL0.cs, and the borders between the two forms."""
    path = tmp_path / "file"
    path.write_bytes(text.encode())
    assert read_pairs(path) == pairs


@pytest.mark.parametrize("text", ["A", "A<<", "<<E\nE\n", "A<<E\nv\n", "A<<E\nv"])
def test_environment_files_are_refused_as_the_runner_refuses_them(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(RunnerError):
        read_pairs(path)
