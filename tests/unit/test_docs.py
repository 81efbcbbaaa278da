"""The documents keep up with the code: error sections, action inputs, versions, links, examples."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from keylease import __version__
from keylease.audit.federated import KINDS
from keylease.registry import EXCHANGERS

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]

# Where an anchor comes from somewhere else than a constant at the call: each is covered by what it forwards.
FORWARDED = {"self.docs", "docs", "self._docs"}


def texts(node: ast.expr, constants: dict[str, str]) -> Iterator[str]:
    """The constants that an expression can be; other expressions as source."""
    if isinstance(node, ast.IfExp):
        yield from texts(node.body, constants)
        yield from texts(node.orelse, constants)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Name) and node.id in constants:
        yield constants[node.id]
    else:
        yield "= " + ast.unparse(node)


def docs_arguments(tree: ast.Module, name: str) -> Iterator[ast.expr]:
    """What a module passes as `docs`: by keyword, by position to its own functions, as a default of theirs."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    position = {}
    for function in functions:
        names = [argument.arg for argument in function.args.args]
        if "docs" in names:
            position[function.name] = names.index("docs")
            default = function.args.defaults[position[function.name] - len(names) :]
            yield from default[:1] if len(function.args.defaults) >= len(names) - position[function.name] else []
        for argument, default_value in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
            if argument.arg == "docs" and default_value is not None:
                yield default_value
        if function.name == "_explain" and name == "http.py":
            returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
            yield from (value.elts[-1] for value in returned if isinstance(value, ast.Tuple))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "docs")
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            if called in position and len(node.args) > position[called]:
                yield node.args[position[called]]


@functools.cache
def used_anchors() -> dict[str, set[str]]:
    """Anchor → files that use it. What is no constant is kept as ``= source``."""
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for value in docs_arguments(tree, path.name):
            for text in texts(value, constants):
                found.setdefault(text, set()).add(path.relative_to(ROOT).as_posix())
    found.pop("", None)  # KeyleaseError's default: no link
    return found


def sections() -> list[str]:
    return re.findall(r"^### (\S+)$", (ROOT / "docs/errors.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_error_has_its_section() -> None:
    used = used_anchors()
    assert len(used) > 30
    known = set(sections())
    assert {a: files for a, files in used.items() if not a.startswith("= ") and a not in known} == {}


def test_every_section_is_linked_from_an_error() -> None:
    assert set(sections()) - set(used_anchors()) == set()


def test_sections_are_unique() -> None:
    assert len(sections()) == len(set(sections()))


def test_anchors_are_constants() -> None:
    computed = {anchor[2:]: files for anchor, files in used_anchors().items() if anchor.startswith("= ")}
    assert {text: files for text, files in computed.items() if text not in FORWARDED and "rpartition" not in text} == {}


class Recorder(dict[str, str]):
    """An environment that remembers which inputs were looked for."""

    def __init__(self, inputs: dict[str, str]) -> None:
        super().__init__({f"INPUT_{name.upper()}": value for name, value in inputs.items()})
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        if key.startswith("INPUT_"):
            self.asked.add(key.removeprefix("INPUT_"))
        return super().get(key, default)


def test_action_inputs_are_those_the_code_reads(tmp_path: Path) -> None:
    from keylease.config import inputs, modes

    (tmp_path / "keylease.yml").write_text((ROOT / "examples/keylease.yml").read_text(encoding="utf-8"))
    single = Recorder({"url": "https://vault.example.com", "secrets": "secret/data/ci token | TOKEN ;"})
    file = Recorder({"config": str(tmp_path / "keylease.yml")})
    file["VAULT_ADDR"] = "https://vault.example.com"
    for env in (single, file):
        inputs.plan_from_inputs(env)
    sync = Recorder({"sync": "plan", "config": str(tmp_path / "keylease.yml")})
    modes.sync_from_inputs(sync)
    audit = Recorder({"audit": "true"})
    modes.audit_from_inputs(audit)
    # Read by the identity source, from the environment as it is.
    read = single.asked | file.asked | sync.asked | audit.asked | {"JOB-WORKFLOW-REF"}
    assert "JOB-WORKFLOW-REF" in (ROOT / "src/keylease/identity/github.py").read_text(encoding="utf-8")
    refused = {"PKI", "GITHUBTOKEN", "USERNAME", "PASSWORD", "AUTHPAYLOAD", "EXTRAHEADERS"}
    refused |= {"JWTPRIVATEKEY", "JWTKEYPASSWORD", "JWTTTL"}
    declared = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["inputs"]
    upper = {name.upper() for name in declared}
    with_underscores = {name.replace("-", "_") for name in upper}
    assert refused <= read, "an input that is no longer refused must be declared"
    assert read - refused - with_underscores == {name for name in upper if name not in with_underscores}
    assert upper <= read
    assert len(upper) == len(declared)


def test_action_declares_defaults_only_for_what_the_runner_knows() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    with_default = {name for name, declared in action["inputs"].items() if "default" in declared}
    assert with_default == {"host-paths", "job-workflow-ref"}


def test_generated_parts_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "tools/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and anchor not in slugs(path)):
            broken.append(target)
    assert broken == []


def slugs(path: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_template_installs_this_version() -> None:
    header = next(iter(yaml.safe_load_all((ROOT / "templates/keylease.yml").read_text(encoding="utf-8"))))
    assert header["spec"]["inputs"]["version"]["default"] == __version__


@pytest.mark.parametrize("name", ["examples/gitlab/.gitlab-ci.yml", "SECURITY.md"])
def test_versions_written_out_are_this_one(name: str) -> None:
    versions = re.findall(r"(?:/v|keylease:)(\d+\.\d+\.\d+)", (ROOT / name).read_text(encoding="utf-8"))
    assert set(versions) == {__version__}


def test_examples_differ_from_what_tests_run_in_one_line_only() -> None:
    github = (ROOT / "examples/github/deploy.yml").read_text(encoding="utf-8")
    gitlab = (ROOT / "examples/gitlab/.gitlab-ci.yml").read_text(encoding="utf-8")
    assert github.count("keylease/keylease@v0") == 1
    assert len(re.findall(r"^ +- remote: .*/templates/keylease\.yml$", gitlab, re.MULTILINE)) == 1


def test_example_configuration_is_valid() -> None:
    from keylease import config

    plan = config.load_file(ROOT / "examples/keylease.yml", {"VAULT_ADDR": "https://vault.example.com"})
    assert [deliver.name for deliver in plan.deliveries] == ["DEPLOY_TOKEN", "DB_USERNAME", "DB_PASSWORD"]


def _configurations() -> list[tuple[str, str]]:
    """(page, text) of what is written out as a keylease.yml."""
    found = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            keys = set(re.findall(r"(?m)^([a-z]+):", block))
            if keys and keys <= {"version", "settings", "providers", "leases"} and "providers" in keys:
                found.append((str(page.relative_to(ROOT)), block))
    return found


@pytest.mark.parametrize(("page", "block"), _configurations())
def test_documented_configuration_is_valid(page: str, block: str) -> None:
    from keylease import config

    block = block if re.search(r"(?m)^version:", block) else f"version: 1\n{block}"
    assert config.load_text(block, page, {"VAULT_ADDR": "https://vault.example.com"}).providers


def test_configurations_are_found_on_every_provider_s_page() -> None:
    pages = {page for page, _ in _configurations()}
    assert {f"docs/providers/{name}.md" for name in EXCHANGERS} <= pages


def test_the_changelog_is_keep_a_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def _texts(path: Path) -> Iterator[str]:
    """Text constants that are no docstring, with those of an f-string as one: what is filled in stands as ``{}``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    passed = {each.value for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    for each in ast.walk(tree):
        if isinstance(each, ast.JoinedStr):
            passed.update(each.values)
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}"
                for part in each.values
                if isinstance(part, ast.Constant | ast.FormattedValue)
            )
    for each in ast.walk(tree):
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and each not in passed:
            yield each.value


def test_messages_name_pages_by_their_address_and_there_is_such_a_page() -> None:
    """They are read where Keylease is not checked out."""
    from keylease.errors import DOCS

    assert DOCS.endswith("/docs")
    named: set[str] = set()
    for path in sorted((ROOT / "src").rglob("*.py")):
        for text in _texts(path):
            named.update(re.findall(r"\{DOCS\}/([\w{}./-]+\.md)", text))
            relative = re.search(r"(?<![\w/}])(?:docs|examples)/\w", re.sub(r"https?://\S+", "", text))
            assert relative is None, f"{path}: {text}"
    pages = {each for each in named if "{" not in each}
    assert len(pages) > 10
    assert [each for each in sorted(pages) if not (ROOT / "docs" / each).is_file()] == []
    assert all((ROOT / "docs" / f"providers/{kind.provider}.md").is_file() for kind in KINDS)
