"""Which variables may be set, and what a value must be to arrive whole."""

import re
from collections.abc import Sequence

from keylease.errors import UsageError
from keylease.model import Export, Origin

MAX_ENV_STRING = 128 * 1024
"""Bytes of ``NAME=value`` with its closing NUL that Linux lets into execve (MAX_ARG_STRLEN, linux/binfmts.h)."""

MAX_ENV_TOTAL = 1024 * 1024
"""Bytes of all our variables together. Linux gives arguments and environment 2 MiB at the usual 8 MiB stack
(execve(2)); the job's own variables need room too."""

MAX_OUTPUTS = 1024 * 1024
"""GitHub: all outputs of a job together, counted as UTF-16
(https://docs.github.com/actions/using-jobs/defining-outputs-for-jobs)."""

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OUTPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

_CODE = "it makes the programs of later steps run other code"
_TRUST = "it redirects the connections of later steps, or what they trust"
_SHELL = "it changes how shells read scripts"
_PLATFORM = "it belongs to the CI platform"

_NAMES = {
    # The loader, the interpreters, and the tools that start what a variable names.
    _CODE: """
        PATH HOME TMPDIR SHELL EDITOR VISUAL PAGER MANPAGER BROWSER LESSOPEN LESSCLOSE GCONV_PATH GLIBC_TUNABLES
        NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS PERL5LIB PERL5OPT PERL5DB PERLLIB RUBYOPT RUBYLIB PSMODULEPATH
        JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS _JAVA_OPTIONS MAVEN_OPTS GRADLE_OPTS SBT_OPTS CLASSPATH
        DOTNET_STARTUP_HOOKS CORECLR_PROFILER CORECLR_PROFILER_PATH CORECLR_ENABLE_PROFILING
        PHPRC PHP_INI_SCAN_DIR LUA_INIT LUA_PATH LUA_CPATH GOFLAGS RUSTFLAGS RUSTC_WRAPPER CC CXX MAKEFLAGS MAKEFILES
        GIT_SSH GIT_SSH_COMMAND GIT_EXTERNAL_DIFF GIT_PAGER GIT_EDITOR GIT_SEQUENCE_EDITOR GIT_ASKPASS SSH_ASKPASS
        GIT_PROXY_COMMAND GIT_EXEC_PATH GIT_TEMPLATE_DIR GIT_DIR GIT_WORK_TREE GIT_COMMON_DIR GIT_OBJECT_DIRECTORY
        GIT_ALTERNATE_OBJECT_DIRECTORIES OPENSSL_ENGINES OPENSSL_CONF_INCLUDE XDG_CONFIG_HOME XDG_CONFIG_DIRS
        NODE_REPL_EXTERNAL_MODULE NPM_CONFIG_SCRIPT_SHELL NPM_CONFIG_NODE_OPTIONS NPM_CONFIG_GIT NPM_CONFIG_PREFIX
        CARGO_HOME RUSTC RUSTC_WORKSPACE_WRAPPER CARGO_BUILD_RUSTC CARGO_BUILD_RUSTC_WRAPPER RUSTUP_HOME GOROOT
        GOTOOLCHAIN JAVA_HOME JAVA_OPTS GEM_HOME GEM_PATH BUNDLE_GEMFILE DOTNET_ROOT DOTNET_ADDITIONAL_DEPS
        COR_PROFILER COR_PROFILER_PATH COR_ENABLE_PROFILING
    """,
    _SHELL: "ENV BASH_ENV SHELLOPTS BASHOPTS IFS PS1 PS2 PS4 PROMPT_COMMAND CDPATH GLOBIGNORE ZDOTDIR BASH_XTRACEFD",
    _TRUST: """
        HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY FTP_PROXY SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE
        CURL_CA_BUNDLE CURL_HOME GIT_SSL_NO_VERIFY GIT_SSL_CAINFO GIT_ALLOW_PROTOCOL OPENSSL_CONF OPENSSL_MODULES
        PIP_CONFIG_FILE NPM_CONFIG_REGISTRY NPM_CONFIG_USERCONFIG GOPROXY DOCKER_HOST DOCKER_CONFIG
        NODE_TLS_REJECT_UNAUTHORIZED SSLKEYLOGFILE GIT_SSL_CAPATH GIT_TRACE_CURL NPM_CONFIG_STRICT_SSL
        NPM_CONFIG_GLOBALCONFIG GOSUMDB GOINSECURE GONOSUMDB DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH
        CONTAINER_HOST VAULT_SKIP_VERIFY BAO_SKIP_VERIFY
        KRB5_CONFIG RESOLV_HOST_CONF LOCALDOMAIN RES_OPTIONS HOSTALIASES
    """,
    _PLATFORM: "CI",
}
_PROTECTED = {name: reason for reason, names in _NAMES.items() for name in names.split()}
_PROTECTED_PREFIXES: dict[str, str] = {
    "LD_": _CODE,
    "DYLD_": _CODE,
    "GIT_CONFIG": _CODE,
    "BASH_FUNC_": _SHELL,
    "GITHUB_": _PLATFORM,
    "RUNNER_": _PLATFORM,
    "ACTIONS_": _PLATFORM,
    "INPUT_": _PLATFORM,
    "STATE_": _PLATFORM,
    "KEYLEASE_": "it configures Keylease itself",
}
_PYTHON = re.compile(r"PYTHON[A-Z]+")  # PYTHONPATH, PYTHONSTARTUP …; not PYTHON_VERSION

# actions/runner: FileCommandManager.cs blocks NODE_OPTIONS in GITHUB_ENV; GitHubContext.cs lists the variables that
# are set afresh for each step, as are all of RunnerContext.cs: a value written to GITHUB_ENV is overwritten.
_GITHUB_CONTEXT = """
    ACTION ACTION_PATH ACTION_REF ACTION_REPOSITORY ACTOR ACTOR_ID API_URL ARTIFACTS ARTIFACTS_LIST BASE_REF ENV
    EVENT_NAME EVENT_PATH GRAPHQL_URL HEAD_REF JOB OUTPUT PATH REF REF_NAME REF_PROTECTED REF_TYPE REPOSITORY
    REPOSITORY_ID REPOSITORY_OWNER REPOSITORY_OWNER_ID RETENTION_DAYS RUN_ATTEMPT RUN_ID RUN_NUMBER SERVER_URL SHA
    STATE STEP_SUMMARY TRIGGERING_ACTOR WORKFLOW WORKFLOW_REF WORKFLOW_SHA WORKSPACE
"""
_GITHUB_OVERWRITES = frozenset("GITHUB_" + name for name in _GITHUB_CONTEXT.split())


def check_name(name: str, allow: frozenset[str], origin: Origin, *, github: bool = False) -> None:
    """Refuse what is no POSIX variable name, and names that hand the job to whoever writes the secret.

    allow: protected names that the user allows by name. github: the value goes through GITHUB_ENV, where the runner
    itself refuses or overwrites some names, allowed or not. Raises :class:`UsageError`.
    """
    if not _ENV_NAME.fullmatch(name) or len(name) > 255:
        raise UsageError(
            f"{_at(origin)}{_shown(name)} can't be the name of an environment variable",
            cause="a name has letters A-Z a-z, digits and _ only, and does not begin with a digit (POSIX.1, 8.1)",
            change=f"name it {_suggested(name)}, for example",
            docs="names",
        )
    upper = name.upper()
    if github and (upper == "NODE_OPTIONS" or upper in _GITHUB_OVERWRITES or upper.startswith("RUNNER_")):
        raise UsageError(
            f"{_at(origin)}{name} can't be set on GitHub",
            cause="the runner refuses NODE_OPTIONS in GITHUB_ENV and sets GITHUB_* and RUNNER_* afresh for each step; "
            "allow-names can't change that",
            change="use another name, and set this one in the step that needs it: env: { "
            + name
            + ": ${{ env.OTHER_NAME }} }",
            docs="names",
        )
    reason = _protected(name)
    if reason and name not in allow:
        raise UsageError(
            f"{_at(origin)}{name} is protected and is not set",
            cause=f"{reason}: whoever can write the secret would control the job",
            change=f"use another name; or, if you mean it, allow it by name: allow-names: {name}",
            docs="names",
        )


def _protected(name: str) -> str | None:
    upper = name.upper()
    if upper in _PROTECTED:
        return _PROTECTED[upper]
    if _PYTHON.fullmatch(upper):
        return _CODE
    return next((why for prefix, why in _PROTECTED_PREFIXES.items() if upper.startswith(prefix)), None)


def check_output_name(name: str, origin: Origin) -> None:
    """Refuse what GitHub's expressions can't address as ``steps.ID.outputs.NAME``. Raises :class:`UsageError`."""
    if not _OUTPUT_NAME.fullmatch(name) or len(name) > 255:
        raise UsageError(
            f"{_at(origin)}{_shown(name)} can't be the name of an output",
            cause="a name has letters A-Z a-z, digits, - and _ only, and begins with a letter or _",
            change=f"name it {_suggested(name)}, for example",
            docs="names",
        )


def check_exports(exports: Sequence[Export], allow: frozenset[str] = frozenset(), *, github: bool = False) -> None:
    """Check names, duplicates, kinds and sizes of all values before the first one is written.

    An export with a `file` puts the value into the file and the file's path into the variable or output.
    Raises :class:`UsageError` naming the variable and where the user asked for it, never the value.
    """
    env: dict[str, Export] = {}
    outputs: dict[str, Export] = {}
    files: dict[str, Export] = {}
    total = output_total = 0
    for export in exports:
        if export.env:
            check_name(export.name, allow, export.origin, github=github)
            _claim(env, export.name, export, f"the variable {export.name}")
        if export.output:
            name = export.output_name or export.name
            check_output_name(name, export.origin)
            # GitHub's contexts compare names without case: the second would silently replace the first.
            _claim(outputs, name.lower(), export, f"the output {name}")
        if export.file is not None:
            _claim(files, export.file, export, f"the file {_shown(export.file)}")
        elif export.env or export.output:
            text = _text(export)
            size = len(text.encode("utf-8"))
            if export.env:
                total += _env_size(export, size)
            if export.output:
                output_total += 2 * len(text)
    if total > MAX_ENV_TOTAL:
        raise UsageError(
            f"the {len(env)} variables hold {total} bytes together; more than {MAX_ENV_TOTAL} keep every later program "
            "from starting",
            change="deliver the large ones with `file:`",
            docs="size",
        )
    if github and output_total > MAX_OUTPUTS:
        raise UsageError(
            f"the outputs hold {output_total} bytes (as UTF-16) together; GitHub drops more than {MAX_OUTPUTS} per job",
            change="deliver the large ones with `file:`",
            docs="size",
        )


def _claim(taken: dict[str, Export], key: str, export: Export, what: str) -> None:
    other = taken.setdefault(key, export)
    if other is not export:
        raise UsageError(
            f"{_at(export.origin)}{what} is asked for twice",
            cause=f"{_place(other)} asks for it too, and only one of the two would arrive",
            change="give one of them another name",
            docs="duplicate-name",
        )


def _text(export: Export) -> str:
    if export.value.is_text:
        return export.value.reveal()
    raise UsageError(
        f"{_at(export.origin)}{export.name}: the value is binary (it holds a NUL byte or is not UTF-8)",
        cause="a variable or output holds text only",
        change="deliver it with `file:`",
        docs="binary",
    )


def _env_size(export: Export, size: int) -> int:
    needed = len(export.name) + 1 + size + 1
    if needed > MAX_ENV_STRING:
        raise UsageError(
            f"{_at(export.origin)}{export.name}: the value has {size} bytes, too many for an environment variable",
            cause=f"Linux starts no program with a variable of more than {MAX_ENV_STRING} bytes",
            change="deliver it with `file:`; the variable then holds the file's path",
            docs="size",
        )
    return needed


def _place(export: Export) -> str:
    return str(export.origin) or export.source


def _at(origin: Origin) -> str:
    return f"{origin}: " if str(origin) else ""


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 80 else name[:77] + "...")


def _suggested(name: str) -> str:
    words = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").upper()[:80]
    return ("_" + words if words[:1].isdigit() else words) or "MY_SECRET"
