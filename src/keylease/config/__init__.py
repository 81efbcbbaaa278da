"""What the user wrote (keylease.yml, the action's inputs, flags) into a checked :class:`keylease.model.Plan`.

    load_file, load_text     keylease.yml
    load_sync, load_sources  its sync, what that reads
    inputs.plan_from_inputs  the action's inputs
    inputs.plan_from_flags   the command line without a file
    schema.json_schema       the JSON Schema of keylease.yml

PyYAML and what reads files are imported where a file is read: the action without one never pays for them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keylease.model import Env, Plan

if TYPE_CHECKING:
    from keylease.pipelines.sync import SyncPlan
    from keylease.pipelines.sync_sources import Source

FILE_NAME = "keylease.yml"


def load_file(path: str | Path, env: Env) -> Plan:
    """The plan in a keylease.yml. `env` gives providers their fallbacks (``VAULT_ADDR``).

    Raises :class:`keylease.errors.UsageError` naming file, line and key.
    """
    from keylease.config import keyleasefile

    return keyleasefile.load_file(Path(path), env)


def load_sync(path: str | Path, env: Env) -> "SyncPlan":
    """What ``sync:`` of a keylease.yml asks for. Raises as :func:`load_file`."""
    from keylease.config import keyleasefile

    return keyleasefile.load_sync(Path(path), env)


def load_sources(path: str | Path, env: Env) -> "tuple[Plan, Mapping[str, Sequence[Source]]]":
    """The providers of a keylease.yml, and what ``sync:`` reads by them, wherever to. Raises as :func:`load_file`."""
    from keylease.config import keyleasefile

    return keyleasefile.load_sources(Path(path), env)


def load_text(text: str | bytes, source: str, env: Env) -> Plan:
    """The same for the text of one; `source` names it in messages."""
    from keylease.config import keyleasefile

    return keyleasefile.load_text(text, source, env)
