"""Which names and values are let through."""

import subprocess
import sys

import pytest

from keylease.errors import UsageError
from keylease.model import Export, Origin
from keylease.outputs.names import MAX_ENV_STRING, MAX_ENV_TOTAL, check_exports, check_name
from keylease.secret import Secret
from tests.leaks import Seeded

HERE = Origin("keylease.yml", 12, "leases[0].env")
THERE = Origin("keylease.yml", 20, "leases[1].env")


def export(name: str, value: str | bytes = "a-value", **more: object) -> Export:
    return Export(name, Secret(value), "vault://kv/app#field", origin=HERE, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["A", "_x", "DB_PASSWORD", "GIT_TOKEN", "GITLAB_TOKEN", "PYTHON_VERSION", "LDAP_PASSWORD"]
)
def test_ordinary_names_pass(name: str) -> None:
    check_name(name, frozenset(), HERE, github=True)


@pytest.mark.parametrize(
    "name", ["", "1A", "A B", "A-B", "A=B", "A<<B", "A\nPATH", "A\0", "Ä", "a.b", "A\r", " A", "A" * 256, "٣A", "Aé"]
)
def test_what_is_no_variable_name_is_refused_with_the_place(name: str) -> None:
    with pytest.raises(UsageError, match=r"^keylease\.yml:12: leases\[0\]\.env: '.*' can't be the name of an env") as e:
        check_name(name, frozenset([name]), HERE)
    assert e.value.summary.isprintable()  # foreign characters are shown escaped
    assert "POSIX" in e.value.cause


@pytest.mark.parametrize(
    "name",
    """PATH LD_PRELOAD LD_LIBRARY_PATH DYLD_INSERT_LIBRARIES NODE_OPTIONS NODE_PATH BASH_ENV ENV IFS SHELLOPTS
    PYTHONPATH PYTHONSTARTUP PYTHONHOME PERL5LIB PERL5OPT RUBYOPT RUBYLIB JAVA_TOOL_OPTIONS _JAVA_OPTIONS MAVEN_OPTS
    GIT_SSH_COMMAND GIT_EXTERNAL_DIFF GIT_CONFIG_COUNT GIT_CONFIG_GLOBAL PROMPT_COMMAND PS4 EDITOR
    http_proxy HTTPS_PROXY SSL_CERT_FILE GITHUB_TOKEN GITHUB_API ACTIONS_ID_TOKEN_REQUEST_TOKEN CI INPUT_X STATE_X
    NODE_TLS_REJECT_UNAUTHORIZED SSLKEYLOGFILE XDG_CONFIG_HOME CARGO_HOME npm_config_script_shell VAULT_SKIP_VERIFY
    HOME KEYLEASE_CONFIG BASH_FUNC_ls Path""".split(),  # noqa: SIM905  # a list this long reads better so
)
def test_names_that_hand_over_the_job_need_to_be_allowed(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is protected") as e:
        check_name(name, frozenset(["OTHER"]), HERE)
    assert f"allow-names: {name}" in e.value.change
    check_name(name, frozenset([name]), HERE)


@pytest.mark.parametrize("name", ["NODE_OPTIONS", "GITHUB_REPOSITORY", "GITHUB_ENV", "RUNNER_TEMP", "RUNNER_OS"])
def test_what_the_runner_itself_refuses_is_refused_even_if_allowed(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} can't be set on GitHub"):
        check_name(name, frozenset([name]), HERE, github=True)
    check_name(name, frozenset([name]), HERE)


def test_two_leases_writing_one_variable_are_both_named() -> None:
    second = Export("TOKEN", Secret("other"), "vault://kv/b", origin=THERE)
    with pytest.raises(UsageError, match=r"^keylease\.yml:20: .*the variable TOKEN is asked for twice") as e:
        check_exports([export("TOKEN"), second])
    assert "keylease.yml:12: leases[0].env" in e.value.cause


def test_outputs_collide_without_case_variables_with() -> None:
    check_exports([export("token"), export("TOKEN")])
    with pytest.raises(UsageError, match="the output TOKEN is asked for twice"):
        check_exports([export("token", env=False, output=True), export("TOKEN", env=False, output=True)])
    with pytest.raises(UsageError, match="the output b is asked for twice"):
        check_exports([export("A", output=True, output_name="b"), export("B", output=True, output_name="b")])
    with pytest.raises(UsageError, match="the file 'x' is asked for twice"):
        check_exports([export("A", file="x"), export("B", file="x")])


def test_output_names_may_have_dashes_but_nothing_else() -> None:
    check_exports([export("ignored name", env=False, output=True, output_name="db-password")])
    with pytest.raises(UsageError, match="can't be the name of an output"):
        check_exports([export("A", env=False, output=True, output_name="x=y")])


@pytest.mark.parametrize("value", [b"\xff\xfe", "nul\0byte", b"\x80abc"])
def test_binary_values_need_a_file(value: str | bytes) -> None:
    for way in ({"env": True}, {"env": False, "output": True}):
        with pytest.raises(UsageError, match="A: the value is binary") as e:
            check_exports([export("A", value, **way)])
        assert e.value.change == "deliver it with `file:`"
    check_exports([export("A", value, file="a.bin")])


def test_the_largest_value_is_what_linux_starts_a_program_with() -> None:
    largest = "x" * (MAX_ENV_STRING - len("A=") - 1)
    check_exports([export("A", largest)])
    subprocess.run([sys.executable, "-c", ""], env={"A": largest}, check=True)
    with pytest.raises(UsageError, match="too many for an environment variable") as e:
        check_exports([export("A", largest + "x")])
    assert "`file:`" in e.value.change
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run([sys.executable, "-c", ""], env={"A": largest + "x"}, check=True)


def test_all_values_together_are_limited() -> None:
    size = MAX_ENV_STRING - 10
    with pytest.raises(UsageError, match="keep every later program from starting"):
        check_exports([export(f"A{n}", "x" * size) for n in range(MAX_ENV_TOTAL // size + 1)])
    half = "x" * (256 * 1024 + 1)
    two = [export(name, half, env=False, output=True) for name in "ab"]
    check_exports(two)
    with pytest.raises(UsageError, match="GitHub drops more than"):
        check_exports(two, github=True)


def test_no_error_holds_the_value(seeded: Seeded) -> None:
    value = seeded.new("token")
    for bad in (
        [export("PATH", value)],
        [export("A", value), export("A", value)],
        [export("A", value + "\0")],
        [export("A", value * 9999)],
    ):
        with pytest.raises(UsageError) as e:
            check_exports(bad)
        assert value not in e.value.diagnostics(debug=True)
