"""Values as text for other platforms: shell, dotenv, JSON, GitLab's dotenv report."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from keylease.errors import UsageError
from keylease.model import Export

Format = Literal["shell", "dotenv", "json", "gitlab-dotenv"]
FORMATS: tuple[str, ...] = get_args(Format)

GITLAB_WARNING = (
    "gitlab-dotenv: the values are stored in clear as a job artifact, and whoever may see the pipeline can download "
    "them; limit it with `artifacts: access` and `expire_in`, or lease again in the job that needs them"
)
"""To be shown whenever that format is written (https://docs.gitlab.com/ci/variables/dotenv_variables/)."""

GITLAB_DOTENV_SIZE = 5 * 1024
"""Bytes that GitLab takes by default, one less (ParseDotenvArtifactService; self-managed instances may differ)."""


def variables(exports: Sequence[Export]) -> dict[str, str]:
    """Name → text of what is to be a variable, of exports that :func:`keylease.outputs.files.place` returned."""
    return {export.name: export.value.reveal() for export in exports if export.env}


def render(values: Mapping[str, str], form: Format) -> str:
    """`values` in one of :data:`FORMATS`. Raises :class:`UsageError` where the form can't hold a value as it is."""
    if form == "json":
        return json.dumps(dict(values), indent=2) + "\n"
    line = {"shell": _shell, "dotenv": _dotenv, "gitlab-dotenv": _gitlab}[form]
    text = "".join(line(name, value) + "\n" for name, value in values.items())
    if form == "gitlab-dotenv" and len(text.encode("utf-8")) >= GITLAB_DOTENV_SIZE:
        raise UsageError(
            f"gitlab-dotenv: {len(text.encode('utf-8'))} bytes; GitLab takes less than {GITLAB_DOTENV_SIZE}",
            change="hand over fewer or smaller values, or lease again in the job that needs them",
            docs="gitlab-dotenv",
        )
    return text


def _shell(name: str, value: str) -> str:
    """A line for `eval` in any POSIX shell: nothing is special between single quotes (XCU 2.2.2)."""
    return f"export {name}='" + value.replace("'", "'\\''") + "'"


def _dotenv(name: str, value: str) -> str:
    """The part of the dotenv dialects on which they agree: sh, Node's, python-dotenv, Docker Compose.

    Single quotes with nothing to unescape inside; double quotes for a value with a single one. They do not agree on
    a value with CR, ``${``, ``\\'`` or both kinds of quotes, so it is refused rather than changed on the way.
    """
    if "\r" in value or "${" in value or "\\\\" in value or value.endswith("\\"):
        raise _unfit("dotenv", name, "a carriage return, ${, or a double or final backslash")
    if "'" not in value:
        return f"{name}='{value}'"
    if re.search(r'["\\$`!\n]', value):
        raise _unfit("dotenv", name, 'a single quote together with a newline or one of " \\ $ ` !')
    return f'{name}="{value}"'


def _gitlab(name: str, value: str) -> str:
    """GitLab splits at the first `=`, strips white space, knows no quotes, and expands `$` in the job that reads."""
    if re.search(r"[\r\n\0$]", value) or value != value.strip() or not value:
        raise _unfit("gitlab-dotenv", name, "nothing in it, a newline, $, or white space at its ends")
    return f"{name}={value}"


def _unfit(form: str, name: str, what: str) -> UsageError:
    return UsageError(
        f"{form}: the value of {name} can't be written so that every reader gets it unchanged",
        cause=f"it has {what}, which readers of this format treat differently",
        change="use --format shell or json, deliver it with `file:`, or use `keylease exec -- CMD`",
        docs="dotenv",
    )
