"""The types of keylease.yml, except for the providers' settings, which live with their exchangers.

The JSON Schema is made from them: a field's description is what an editor shows.
"""

from typing import Annotated, Any, Literal

import msgspec

VERSION = 1

Names = Annotated[dict[str, str], msgspec.Meta(min_length=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Retries = Annotated[int, msgspec.Meta(ge=0, le=20)]
Version = Annotated[int, msgspec.Meta(ge=1)] | Annotated[str, msgspec.Meta(min_length=1)]
_VERSION = "Version of the secret, as its manager counts (a number) or names them. Default: the newest."
_STAGE = "With aws-sm://: the version's staging label, e.g. AWSPREVIOUS."


class RunSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the whole run."""

    deadline: Annotated[
        Seconds | None, msgspec.Meta(description="Time the whole step may take, e.g. 90s or 2m. Default: 120s.")
    ] = None
    timeout: Annotated[
        Seconds | None, msgspec.Meta(description="Time one request may take, for providers that don't say.")
    ] = None
    retries: Annotated[Retries | None, msgspec.Meta(description="Further attempts, for providers that don't say.")] = (
        None
    )
    allow_names: Annotated[
        list[str], msgspec.Meta(description="Protected variables (such as PYTHONPATH) that may be set after all.")
    ] = msgspec.field(default_factory=list)
    identity_variables: Annotated[
        list[str], msgspec.Meta(description="GitLab: names of the id_tokens: variables to look at first.")
    ] = msgspec.field(default_factory=list)
    revoke: Annotated[
        bool, msgspec.Meta(description="Whether what was leased is revoked at the job's end. Default: true.")
    ] = True
    strict_revoke: Annotated[
        bool, msgspec.Meta(description="Whether a revocation that fails fails the job. Default: false.")
    ] = False


class UseItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take a provider's lease and export its own variables."""

    use: Annotated[str, msgspec.Meta(description="Name of the provider.")]
    env: Annotated[bool, msgspec.Meta(description="Whether they become environment variables. Default: true.")] = True
    output: Annotated[bool, msgspec.Meta(description="Whether they become step outputs. Default: false.")] = False
    rename: Annotated[
        Names | None, msgspec.Meta(description="Other names for some of them, e.g. {VAULT_TOKEN: CI_TOKEN}.")
    ] = None


class SecretItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Read a secret and deliver its values."""

    secret: Annotated[
        str,
        msgspec.Meta(
            description="What to read: SCHEME://path#field, e.g. vault://secret/ci#token; #* takes all fields."
        ),
    ]
    env: Annotated[
        str | bool | Names | None,
        msgspec.Meta(description="The environment variable, or {VARIABLE: field} for several."),
    ] = None
    output: Annotated[
        str | bool | Names | None,
        msgspec.Meta(description="The step output, or {output: field} for several; true: named like the variable."),
    ] = None
    file: Annotated[str | None, msgspec.Meta(description="File to write the value to (mode 0600).")] = None
    prefix: Annotated[str | None, msgspec.Meta(description="With #*: what goes before each field's name.")] = None
    transform: Annotated[
        Literal["upper", "keep"] | None,
        msgspec.Meta(description="With #*: whether variables get upper-case names. Default: upper; keep with #**."),
    ] = None
    decode: Annotated[
        Literal["none", "base64", "base64url", "hex"], msgspec.Meta(description="How the stored text is encoded.")
    ] = "none"
    provider: Annotated[
        str | None, msgspec.Meta(description="Whose lease reads it. Needed where several providers could.")
    ] = None
    kv: Annotated[Literal[1, 2] | None, msgspec.Meta(description="Version of the KV engine. Default: asked.")] = None
    mount: Annotated[
        str | None, msgspec.Meta(description="With kv: the engine's mount path, where it has several segments.")
    ] = None
    version: Annotated[Version | None, msgspec.Meta(description=_VERSION)] = None
    stage: Annotated[str | None, msgspec.Meta(description=_STAGE)] = None
    wrap_ttl: Annotated[
        str | None, msgspec.Meta(description="Deliver a response-wrapping token that lives this long, e.g. 5m.")
    ] = None
    unwrap_env: Annotated[
        str | None,
        msgspec.Meta(description="With vault://sys/wrapping/unwrap#field: the variable that holds the wrapping token."),
    ] = None
    parameters: Annotated[
        dict[str, Any] | None,
        msgspec.Meta(description="Body of a request that must be written to get an answer (pki, ssh, transit)."),
    ] = msgspec.field(default=None, name="with")
    required: Annotated[
        bool, msgspec.Meta(description="false: a missing secret or field is a warning. Default: true.")
    ] = True


class NeededSecret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A setting whose value is read with another provider's lease."""

    secret: Annotated[str, msgspec.Meta(description="What to read: SCHEME://path#field, e.g. vault://secret/ci#token.")]
    provider: Annotated[
        str | None, msgspec.Meta(description="Whose lease reads it. Needed where several providers could.")
    ] = None
    decode: Annotated[
        Literal["none", "base64", "base64url", "hex"], msgspec.Meta(description="How the stored text is encoded.")
    ] = "none"
    kv: Annotated[Literal[1, 2] | None, msgspec.Meta(description="Version of the KV engine. Default: asked.")] = None
    mount: Annotated[
        str | None, msgspec.Meta(description="With kv: the engine's mount path, where it has several segments.")
    ] = None
    version: Annotated[Version | None, msgspec.Meta(description=_VERSION)] = None
    stage: Annotated[str | None, msgspec.Meta(description=_STAGE)] = None
