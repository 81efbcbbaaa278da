"""What GitLab takes as a CI/CD variable, known before anything is sent.

Of GitLab's source: ``app/models/concerns/ci/maskable.rb``, ``ci/hidable_variable.rb``, ``ci/has_variable.rb``,
``app/models/ci/instance_variable.rb``, ``lib/gitlab/regex.rb``; of its documentation: `CI/CD variables
<https://docs.gitlab.com/ci/variables/>`_, `instance limits
<https://docs.gitlab.com/administration/instance_limits/#cicd-variable-limits>`_.
"""

import re

from keylease.sync.ledger import part_of

NAME = re.compile(r"[a-zA-Z0-9_]{1,255}")
SCOPE = re.compile(r"[a-zA-Z0-9_/\\${}. *-]{1,255}")

LEAST_MASKED = 8
"""Characters."""

_MASKED = re.compile(r"[a-zA-Z0-9_+=/@:.~-]*")
_BLANK = re.compile(r"[ \t\r\n\f\v]")
"""What ``\\s`` is in Ruby."""

INSTANCE_VALUE = 10_000
"""Characters of an instance's variable; projects and groups have no such limit."""

LONGEST_ENVIRONMENT = 128 * 1024
"""Bytes of ``NAME=value`` with its end: Linux starts no process with more (``MAX_ARG_STRLEN``), so every job of the
project would fail. GitLab itself would take it."""

DESCRIPTION = 255
"""Characters."""


def name_problem(name: str) -> str:
    """Why a variable can't be called so; empty if it can."""
    if not NAME.fullmatch(name):
        return "GitLab's variables are called by 1 to 255 of A-Z, a-z, 0-9 and _: give it a name with `names:`"
    if part_of(name):
        return "this is the name of a ledger of Keylease"
    return ""


def mask_problem(value: str, *, raw: bool) -> str:
    """Why GitLab would not mask this value, and what to do; empty if it would. Nothing of the value is in it.

    raw: it is not expanded. GitLab before 15.10 or so (a feature flag) has the narrow rule for those too.
    """
    if "\n" in value or "\r" in value:
        return (
            "GitLab masks no value of several lines; store it in base64 at its source, or say `masked: false` "
            "(with `type: file`, so that it is in no environment)"
        )
    if _BLANK.search(value):
        return "GitLab masks no value with blanks; store it in base64 at its source, or say `masked: false`"
    if len(value) < LEAST_MASKED:
        return f"GitLab masks no value of fewer than {LEAST_MASKED} characters; say `masked: false` for it"
    if not raw and not _MASKED.fullmatch(value):
        return (
            "GitLab masks a value that is expanded only if it is of A-Z, a-z, 0-9 and _+=/@:.~- ; "
            "say `raw: true`, or `masked: false`"
        )
    return ""


def size_problem(name: str, value: str, *, level: str, file: bool) -> str:
    """Why a value is too large; empty if it is not."""
    if level == "instance" and len(value) > INSTANCE_VALUE:
        return f"an instance's variable holds at most {INSTANCE_VALUE:,} characters, this has {len(value):,}"
    size = len(name.encode()) + len(value.encode()) + 2
    if not file and size > LONGEST_ENVIRONMENT:
        return (
            f"no job could start: Linux takes at most {LONGEST_ENVIRONMENT // 1024} KiB per variable, this would be "
            f"{size // 1024} KiB; say `type: file`"
        )
    return ""
