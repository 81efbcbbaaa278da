"""`make docs`: write the generated parts of the documentation; ``--check`` only compares.

A generated part of a Markdown file stands between ``<!-- generated: NAME ARGUMENTS -->`` and ``<!-- end -->``:

example PATH [without TEXT] [from TEXT]
                a file under examples/ as a code block: from the first line on that is TEXT, else that starts with it,
                and without the list item that starts with the other TEXT
help            the options of every command
action-inputs   the inputs of action.yml, as a table
exit-codes      what the process says to its caller

``src/keylease/config/keylease.schema.json``, ``src/keylease/audit/needs.py`` and ``docs/rules.md`` are generated as a
whole.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from keylease.audit.rule import Rule

ROOT = Path(__file__).resolve().parent.parent
PART = re.compile(r"(<!-- generated: ([^\n]+?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
SAMPLES = {".yml": "yaml", ".yaml": "yaml", ".json": "json", ".tf": "hcl", ".hcl": "hcl"}
LANGUAGES = {".yml": "yaml", ".sh": "sh", "": "groovy"}  # a Jenkinsfile has no suffix


def example(arguments: str) -> str:
    """A code block with (the end of) a file."""
    rest, _, start = arguments.partition(" from ")
    path, _, unwanted = rest.partition(" without ")
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines(keepends=True)
    if unwanted:
        first = _line(lines, unwanted, path)
        indent = len(lines[first]) - len(lines[first].lstrip())
        last = next(n for n in range(first + 1, len(lines)) if not lines[n].startswith(" " * (indent + 1)))
        del lines[first:last]
    if start:
        lines = lines[_line(lines, start, path) :]
    return f"```{LANGUAGES[Path(path).suffix]}\n{dedent(''.join(lines)).rstrip()}\n```\n"


def _line(lines: list[str], start: str, path: str) -> int:
    texts = [line.strip() for line in lines]
    found = [n for n, text in enumerate(texts) if text == start] + [
        n for n, text in enumerate(texts) if text.startswith(start)
    ]
    if not found:
        raise SystemExit(f"{path}: no line starts with {start!r}")
    return found[0]


def help_texts(_: str) -> str:
    """Every command's options as a table.

    Made from the grammar and not from ``--help``: argparse lays that out differently in each Python version.
    """
    from keylease.cli import parser

    parts = []
    for name, command in _commands(parser(), ""):
        rows = ["| option | meaning |", "| --- | --- |"]
        for action in command._actions:  # noqa: SLF001
            if isinstance(action, argparse._HelpAction):  # noqa: SLF001
                continue
            rows.append(f"| `{_cell(_option(action))}` | {_cell(action.help or '')} |")
        table = "\n".join(rows) + "\n" if len(rows) > 2 else ""
        usage = command.usage or f"keylease {name} [options]"
        parts.append(f"## keylease {name}\n\n```text\n{usage}\n```\n\n{command.description}\n\n{table}".rstrip() + "\n")
    return "\n".join(parts)


def _commands(root: argparse.ArgumentParser, before: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """(name, grammar) of each command; those that only have commands of their own are replaced by these."""
    parts = next((a for a in root._actions if isinstance(a, argparse._SubParsersAction)), None)  # noqa: SLF001
    if parts is None:
        yield before.strip(), root
        return
    for name, command in parts.choices.items():
        yield from _commands(command, f"{before} {name}")


def _option(action: argparse.Action) -> str:
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices:
        value = ",".join(map(str, action.choices))
    names = ", ".join(action.option_strings)
    return " ".join(part for part in (names, value if action.nargs != 0 else "") if part)


def action_inputs(_: str) -> str:
    """A table of the action's inputs."""
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    rows = [f"| `{name}` | {_cell(declared['description'])} |" for name, declared in action["inputs"].items()]
    return "\n".join(["| input | meaning |", "| --- | --- |", *rows, ""])


def _cell(text: str) -> str:
    return text.strip().replace("|", "\\|").replace("\n", " ")


def exit_codes(_: str) -> str:
    """A table of the exit codes, with the meanings written beside them here."""
    from keylease.errors import ExitCode

    meanings = {
        ExitCode.OK: "done",
        ExitCode.FINDINGS: "`audit`, `scan`: findings; `sync plan --check`: something differs",
        ExitCode.USAGE: "the command line or the configuration is wrong; nothing was handed over",
        ExitCode.IDENTITY: "no usable identity token",
        ExitCode.REFUSED: "the server refused, or there is no such secret; never retried",
        ExitCode.UNREACHABLE: "no usable answer, within the retries and the deadline",
        ExitCode.PARTIAL: "some items failed, each named",
        ExitCode.OUTDATED: "the plan to apply is out of date; nothing was written",
        ExitCode.INTERNAL: "a defect of Keylease; please report it",
    }
    rows = [f"| {code.value} | {meanings[code]} |" for code in ExitCode]
    return "\n".join(["| code | meaning |", "| --- | --- |", *rows, ""])


def rules_page() -> str:
    """docs/rules.md: every rule of the audit, by what it looks at."""
    from keylease.auditing import settings_of
    from keylease.registry import RULES

    rules = [RULES.load(name) for name in sorted(RULES)]
    lines = [
        "# Rules of the audit",
        "",
        "<!-- long file: generated as a whole (make docs), a section for each rule -->",
        "",
    ]
    lines += ["What `keylease audit` looks for; [Audit](audit.md) says how it is run and what its findings do.", ""]
    lines += ["| rule | severity | what it finds |", "| --- | --- | --- |"]
    lines += [f"| [`{rule.id}`](#{rule.id}) | {rule.severity} | {_cell(rule.title)} |" for rule in rules]
    for rule in rules:
        lines += ["", f"## {rule.id}", "", f"{rule.title}.", ""]
        needs = ", ".join(f"`{kind}`" for kind in rule.needs)
        lines += [f"Severity {rule.severity}, confidence {rule.confidence}, persona {rule.persona}; judges {needs}."]
        for title, text in (("Why", rule.why), ("Fix", rule.fix)):
            lines += ["", f"**{title}.** {' '.join(text.split())}"]
        if settings := settings_of(rule):
            lines += ["", "Settings, with their defaults: " + ", ".join(f"`{each}`" for each in settings) + "."]
        for title, samples in (("Found", rule.bad[:1]), ("Not found", rule.good[:1])):
            for sample in samples:
                language = SAMPLES.get(Path(rule.sample).suffix, "text")
                lines += ["", f"{title}, in `{rule.sample}`:", "", f"```{language}", sample.strip("\n"), "```"]
        lines += ["", "See " + ", ".join(f"<{link}>" for link in rule.links) + "."] if rule.links else []
    return "\n".join(lines) + "\n"


def needs_module() -> str:
    """src/keylease/audit/needs.py: which kinds each rule is about, known without importing it."""
    from keylease.registry import RULES

    head = '''"""Which kinds of record each rule is about, so that an audit imports only those that can find anything.

Generated by `make docs` from the rules themselves. A rule that lacks here is imported by every audit.
"""

# long file: generated as a whole (make docs), a line for each rule

from collections.abc import Mapping

from keylease.audit.rule import Needs

NEEDS: Mapping[str, Needs] = {
'''
    return "".join([head, *(_needs(name, RULES.load(name)) for name in RULES), "}\n"])


def _needs(name: str, rule: "type[Rule]") -> str:
    """A rule's row, as `ruff format` would have it."""
    listed = {"needs": rule.needs, "also": rule.also} if rule.also else {"needs": rule.needs}
    parts = [f"{each}=({', '.join(map(_quoted, kinds))}{',' * (len(kinds) == 1)})" for each, kinds in listed.items()]
    more = ["alternatives=True"] if rule.alternatives else []
    row = f'    "{name}": Needs({", ".join([_quoted(name), *parts, *more])}),\n'
    if len(row) <= 121:
        return row
    rows = [_quoted(name)]
    for part, (each, kinds) in zip(parts, listed.items(), strict=True):
        exploded = "".join(f"            {_quoted(kind)},\n" for kind in kinds)
        rows.append(part if len(part) <= 111 else f"{each}=(\n{exploded}        )")
    return f'    "{name}": Needs(\n' + "".join(f"        {each},\n" for each in [*rows, *more]) + "    ),\n"


def _quoted(text: str) -> str:
    return f'"{text}"'


GENERATORS: dict[str, Callable[[str], str]] = {
    "example": example,
    "help": help_texts,
    "action-inputs": action_inputs,
    "exit-codes": exit_codes,
}


def regenerated(text: str) -> str:
    """`text` with every generated part made anew."""

    def part(match: re.Match[str]) -> str:
        name, _, arguments = match[2].partition(" ")
        return f"{match[1]}{GENERATORS[name](arguments)}{match[4]}"

    return PART.sub(part, text)


def wanted() -> dict[Path, str]:
    """Every file with something generated in it, as it should be."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
    files = {page: regenerated(page.read_text(encoding="utf-8")) for page in pages}
    from keylease.config.schema import json_text

    files[ROOT / "src/keylease/config/keylease.schema.json"] = json_text()
    files[ROOT / "docs/rules.md"] = rules_page()
    files[ROOT / "src/keylease/audit/needs.py"] = needs_module()
    return files


def main(arguments: list[str]) -> int:
    """Write, or with ``--check`` show what writing would change and return 1."""
    changed = 0
    for path, new in wanted().items():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == new:
            continue
        changed += 1
        name = path.relative_to(ROOT).as_posix()
        if arguments == ["--check"]:
            lines = difflib.unified_diff(
                old.splitlines(), new.splitlines(), name, f"{name} (make docs)", lineterm="", n=1
            )
            print("\n".join(list(lines)[:60]))
        else:
            path.write_text(new, encoding="utf-8")
            print(f"wrote {name}")
    if changed and arguments == ["--check"]:
        print("run `make docs`")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
