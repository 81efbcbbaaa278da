"""Workflows as texts, judged by one rule."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keylease.audit.collectors.files import collect
from keylease.audit.model import Finding, Inventory
from keylease.audit.rule import Rule
from keylease.audit.trees import yaml_trees
from keylease.audit.workflows import Workflow


def workflow(text: str) -> Workflow:
    """The one workflow in `text`."""
    return Workflow(next(yaml_trees(text)))


def inventory(root: Path, files: dict[str, str]) -> Inventory:
    """What the collector makes of these files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return collect(root)


def judge(rule: type[Rule], root: Path, text: str, settings: Any = None, **others: str) -> list[Finding]:
    """Findings about ``ci.yml``; others: more workflows, by their names without the ending."""
    files = {"ci": text, **others}
    every = inventory(root, {f".github/workflows/{name}.yml": content for name, content in files.items()})
    assert every.problems == []
    return list(rule(settings).check(every))


def job(steps: Iterable[str] | str, on: str = "push", job: str = "", top: str = "") -> str:
    """A workflow with one job. job, top: more lines of the job, of the workflow."""
    lines = [f"on: {on}", *top.splitlines(), "jobs:", "  build:", "    runs-on: ubuntu-latest"]
    lines += [f"    {line}" for line in job.splitlines()]
    text = steps if isinstance(steps, str) else "\n".join(steps)
    return "\n".join([*lines, "    steps:", *(f"      {line}" for line in text.splitlines())]) + "\n"
