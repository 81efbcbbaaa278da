"""Which variables of a GitLab job hold secrets, as far as its files tell; the project's settings are in none."""

import re
from collections.abc import Iterator, Mapping

from keylease.audit.gitlab import named_secret
from keylease.audit.gitlab_files import Job, Part, Pipeline
from keylease.audit.model import Location

_ENDS_WITH_JOB = re.compile(r"CI_(?:JOB_TOKEN|JOB_JWT(?:_V\d)?|REGISTRY_PASSWORD|DEPENDENCY_PROXY_PASSWORD)")
"""https://docs.gitlab.com/ci/variables/predefined_variables/."""

_NAME = re.compile(r"(?:\$\{|\$|\bprintenv[ \t]+)([A-Za-z_]\w*)")
_ALIAS = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_SET = re.compile(
    r"(?:^|[\s;&|({])(?:read\s+(?:-\w+\s+)*|for\s+|printf\s+-v\s+)?([A-Za-z_]\w*)(?:\+?=(?![\"']?\$\{?\1\b)|(?=\s+in\s))",
    re.MULTILINE,
)
_HANDED = re.compile(r"""(?:^|[\s;&|])([A-Za-z_]\w*)=["']?\$\{?([A-Za-z_]\w*)\}?["']?(?=[\s;&|]|\Z)""")
_READ = re.compile(r"\bread\s+((?:-\w+\s+)*[A-Za-z_][\w \t]*)")


def alias_of(text: str) -> str:
    """The variable whose value `text` is, if it is nothing else."""
    found = _ALIAS.fullmatch(text.strip())
    return (found[1] or found[2]) if found else ""


def used_in(script: str) -> set[str]:
    """Variables that a script names."""
    return set(_NAME.findall(script))


def first_uses(job: Job) -> dict[str, tuple[Part, Location | None]]:
    """Variable → the command of the job that names it first, and where that is."""
    found: dict[str, tuple[Part, Location | None]] = {}
    for script in job.scripts:
        line = before = 0
        for each in _NAME.finditer(script.text):
            line += script.text.count("\n", before, each.start())
            before = each.start()
            if each[1] not in found:
                found[each[1]] = script.at(line)
    return found


def handed_on(job: Job) -> Iterator[tuple[str, str, Part, Location | None]]:
    """``NAME=$SOURCE`` in the job's scripts: (name, source, command, where it is)."""
    for script in job.scripts:
        line = before = 0
        for each in _HANDED.finditer(script.text):
            line += script.text.count("\n", before, each.start(1))
            before = each.start(1)
            yield each[1], each[2], *script.at(line)


def set_in(script: str) -> set[str]:
    """Variables that a script gives a value itself; ``A=$A`` gives none."""
    found = {each[1] for each in _SET.finditer(script)}
    return found | {name for each in _READ.finditer(script) for name in each[1].split() if name[:1] != "-"}


def literal_of(job: Job, name: str) -> str | None:
    """What the files set a variable to; None: nothing. Of a mapping its `value`."""
    part = job.variables.get(name)
    if part is None:
        return None
    return part.items["value"].text if "value" in part.items else part.text


def stored(job: Job) -> dict[str, str]:
    """Variable → the one of the settings whose value it has, by the name a secret: all that the scripts use."""
    scripts = "\n".join(each.text for each in job.scripts)
    own = set_in(scripts) | job.computed | set(job.items("secrets")) | set(job.items("id_tokens"))
    found = {}
    for name in sorted(used_in(scripts) - own):
        literal = literal_of(job, name)
        source = name if literal is None else alias_of(literal)
        is_secret = bool(source) and named_secret(source) and not _ENDS_WITH_JOB.fullmatch(source)
        if is_secret and (source == name or literal_of(job, source) is None):
            found[name] = source
    return found


def values(job: Job) -> Mapping[str, str]:
    """Variable → where its value is from; those that hold a file's path are left out."""
    found = dict.fromkeys(job.items("id_tokens"), "id_tokens")
    for name, part in job.items("secrets").items():
        if "file" in part.items and part.items["file"].text == "false":
            found[name] = "secrets"
    return {**stored(job), **found}


def has_secrets(pipeline: Pipeline) -> bool:
    """Whether any of its jobs gets something with which somebody gets in, as far as its files tell."""
    return any(_evidence(pipeline))


def _evidence(pipeline: Pipeline) -> Iterator[bool]:
    for job in pipeline.judged:
        yield bool(job.items("secrets") or job.items("id_tokens") or stored(job))
