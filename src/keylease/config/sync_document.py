"""The types of ``sync:``, ``targets:`` and ``ledger:`` in keylease.yml, except for the targets' own."""

from typing import Annotated, Literal

import msgspec

from keylease.config.document import NeededSecret, Version

_NAME = (
    "How the names are made: text with {path}, {name} and {field}. Default: the path below the pattern, and the field."
)
_NAMES = "Exact names for some of those, e.g. {DB_PASSWORD: DATABASE_PASSWORD}."
Globs = Annotated[str, msgspec.Meta(min_length=1)] | list[str]


class NamingKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be said of names, of a source's and again of a target's."""

    name: Annotated[str, msgspec.Meta(description=_NAME)] = ""
    names: Annotated[dict[str, str], msgspec.Meta(description=_NAMES)] = {}
    case: Annotated[
        Literal["upper", "lower", "keep"] | None,
        msgspec.Meta(description="Of the names' letters. Default: upper for sources, keep for targets."),
    ] = None
    prefix: Annotated[str, msgspec.Meta(description="What each name begins with.")] = ""
    suffix: Annotated[str, msgspec.Meta(description="What each name ends with.")] = ""
    include: Annotated[Globs, msgspec.Meta(description="Only finished names like these, e.g. ML_*.")] = []
    exclude: Annotated[Globs, msgspec.Meta(description="No finished names like these.")] = []


class FromItem(NamingKeys, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Secrets of a manager, and what they are called."""

    secret: Annotated[
        str,
        msgspec.Meta(
            description="Which: SCHEME://path, with wildcards (* within a segment, ** for any depth), and #field or #*."
        ),
    ]
    provider: Annotated[
        str | None, msgspec.Meta(description="Whose lease reads it. Needed where several providers could.")
    ] = None
    kv: Annotated[Literal[1, 2] | None, msgspec.Meta(description="Version of the KV engine. Default: asked.")] = None
    mount: Annotated[
        str | None, msgspec.Meta(description="With kv: the engine's mount path, where it has several segments.")
    ] = None
    version: Annotated[Version | None, msgspec.Meta(description="Version of a secret. Default: the newest.")] = None
    stage: Annotated[str | None, msgspec.Meta(description="With aws-sm://: the version's staging label.")] = None


class SyncSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sync may do; `from` and `to` say what with."""

    name: Annotated[
        str, msgspec.Meta(description="Its name, of which its ledger is kept: a-z, 0-9 and -.", pattern="^[a-z0-9-]+$")
    ]
    prune: Annotated[
        bool | Literal["all"],
        msgspec.Meta(
            description="Whether what is ours and no longer at its source is deleted; all: also most of a place's "
            "values at once. Default: false."
        ),
    ] = False
    adopt: Annotated[
        bool | list[str],
        msgspec.Meta(description="Whether what is there and not ours is taken over: all, or these names."),
    ] = False
    on_drift: Annotated[
        Literal["overwrite", "keep"],
        msgspec.Meta(description="What becomes of a value that somebody else changed. Default: overwrite."),
    ] = "overwrite"


class LedgerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How syncs remember what is theirs."""

    key: Annotated[
        str | NeededSecret,
        msgspec.Meta(description="Where the key is read that values are told apart by: SCHEME://path#field."),
    ]
