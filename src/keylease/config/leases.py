"""The items of ``leases:`` in keylease.yml."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from keylease.config import reference, selector
from keylease.config.assemble import Assembler, check_read
from keylease.config.convert import is_secret, mapping, struct
from keylease.config.document import NeededSecret, SecretItem, UseItem
from keylease.config.yamltree import Node, fail, shown
from keylease.errors import UsageError
from keylease.model import Deliver, Env, Origin, Read, Use, Wildcard
from keylease.secret import Secret

_PLATFORM_VARIABLE = re.compile(
    r"(?:ACTIONS|GITHUB|RUNNER|INPUT|STATE|CI|GITLAB|SYSTEM|BUILDKITE|CIRCLE|BITBUCKET)_.*"
    r"|GH_TOKEN|GH_ENTERPRISE_TOKEN|KEYLEASE_ID_TOKEN(?:_.*)?",
    re.DOTALL,
)


def add_item(node: Node, source: str, path: str, assembler: Assembler) -> None:
    """One item, ``use:`` or ``secret:``, into the plan. Raises :class:`UsageError`."""
    keys = mapping(node, source, path)
    if ("use" in keys) == ("secret" in keys):
        both = "has both `use:` and `secret:`" if "use" in keys else "has neither `use:` nor `secret:`"
        raise _error(Origin(source, node.line, path), both, "make it `- use: PROVIDER` or `- secret: vault://…#field`")
    if "use" in keys:
        _add_use(struct(node, UseItem, source, path), _At(node, source, path), assembler)
    else:
        _Secret(struct(node, SecretItem, source, path), _At(node, source, path), assembler).add()


def needed(need: NeededSecret, origin: Origin, name: str, assembler: Assembler) -> Deliver:
    """The reading that fills a setting of provider `name`. Raises :class:`UsageError`."""
    parts = _parsed(need.secret, origin)
    if parts.selector in ("*", "**"):
        raise _error(origin, "takes one value, not all fields", "name the field: vault://…#field")
    if need.provider == name:
        raise _error(origin, "a provider can't read its own credential", "name another one: `provider: OTHER`")
    provider = assembler.provider_for(parts.scheme, need.provider, origin, not_this=name)
    found = Deliver(
        Read(
            provider,
            parts.scheme,
            parts.path,
            options_of(kv=need.kv, version=need.version, mount=need.mount, stage=need.stage),
        ),
        parts.selector,
        origin.key,
        env=False,
        decode=need.decode,
        origin=origin,
    )
    check_read(found)
    return found


class _At:
    """Where the keys of an item stand."""

    def __init__(self, node: Node, source: str, path: str) -> None:
        self._node = node
        self._source = source
        self._path = path

    def __call__(self, *keys: str) -> Origin:
        node, line, path = self._node, self._node.line, self._path
        for key in keys:
            line = node.lines.get(key, line)
            path = f"{path}.{shown(key)}"
            node = node.value[key] if isinstance(node.value, dict) and key in node.value else node
        return Origin(self._source, line, path)


def _add_use(item: UseItem, at: _At, assembler: Assembler) -> None:
    if not item.env and not item.output:
        raise _error(at("use"), "exports nothing", "set `env: true` or `output: true`")
    assembler.add_use(Use(item.use, item.rename or {}, env=item.env, output=item.output, origin=at("use")))


class _Secret:
    def __init__(self, item: SecretItem, at: _At, assembler: Assembler) -> None:
        self._item = item
        self._at = at
        self._assembler = assembler
        self._parts = _parsed(item.secret, at("secret"))
        provider = assembler.provider_for(self._parts.scheme, item.provider, at())
        parameters = None if item.parameters is None else tuple((k, _frozen(v)) for k, v in item.parameters.items())
        options = options_of(
            kv=item.kv,
            version=item.version,
            stage=item.stage,
            mount=item.mount,
            wrap_ttl=item.wrap_ttl,
            unwrap_env=item.unwrap_env,
        )
        if item.unwrap_env is not None:
            check_variable(item.unwrap_env, at("unwrap_env"))
        self._read = Read(provider, self._parts.scheme, self._parts.path, options, parameters)

    def add(self) -> None:
        if self._parts.selector == "*" or self._parts.selector == "**":
            self._add_all(self._parts.selector)
            return
        for key in ("prefix", "transform"):
            if getattr(self._item, key) is not None:
                raise _error(self._at(key), "goes with all fields only", "write vault://…#* to take all fields")
        if isinstance(self._item.env, dict) or isinstance(self._item.output, dict):
            self._add_several()
        else:
            self._add_one()

    def _add_all(self, wildcard: Wildcard) -> None:
        item = self._item
        for key in ("env", "output", "file"):
            value = getattr(item, key)
            if value is not None and not isinstance(value, bool):
                raise _error(
                    self._at(key),
                    "can't be given with all fields",
                    "use `prefix:`, or name the fields: `env: {VARIABLE: field}`",
                )
        if item.transform is not None:
            if wildcard == "**" and item.transform == "upper":
                raise _error(self._at("transform"), "contradicts #**, which keeps names as they are", "write #*")
            wildcard = "*" if item.transform == "upper" else "**"
        env, output = item.env is not False, item.output is True
        if not env and not output:
            raise _error(self._at("secret"), "is delivered nowhere", "set `env: true` or `output: true`")
        self._deliver(wildcard, item.prefix or "", self._at("secret"), env=env, output=output)

    def _add_several(self) -> None:
        if self._parts.selector is not None:
            change = "remove what follows # in the reference"
            raise _error(self._at("secret"), "the fields are named in `env:` or `output:` already", change)
        if self._item.file is not None:
            raise _error(self._at("file"), "holds one value, not several", "give each file an item of its own")
        for channel in ("env", "output"):
            names = getattr(self._item, channel)
            if isinstance(names, dict):
                for name, field in names.items():
                    origin = self._at(channel, name)
                    self._deliver(_steps(field, origin), name, origin, env=channel == "env", output=channel == "output")
            elif names not in (None, False):
                raise _error(self._at(channel), "must name its fields too", f"`{channel}: {{NAME: field}}`")

    def _add_one(self) -> None:
        item = self._item
        env, output = item.env, item.output
        assert not isinstance(env, dict)
        assert not isinstance(output, dict)
        if env is True:
            raise _error(self._at("env"), "must be the variable's name", "`env: NAME`")
        if output is True and not env:
            raise _error(self._at("output"), "must be the output's name where there is no `env:`", "`output: NAME`")
        if not env and not output and item.file is None:
            raise _error(self._at("secret"), "is delivered nowhere", "add `env: NAME`, `output: NAME` or `file: PATH`")
        file = None if item.file is None else _file(item.file, self._at("file"))
        key = "env" if env else "output" if output else "file"
        self._deliver(
            self._parts.selector,
            env or (output if isinstance(output, str) else "") or file or "",
            self._at(key),
            env=bool(env),
            output=bool(output),
            output_name=output if isinstance(output, str) else None,
            file=file,
        )

    def _deliver(
        self, steps: Sequence[str] | Wildcard | None, name: str, origin: Origin, *, env: bool, output: bool, **more: Any
    ) -> None:
        deliver = Deliver(
            self._read,
            steps,
            name,
            env=env,
            output=output,
            decode=self._item.decode,
            required=self._item.required,
            origin=origin,
            **more,
        )
        self._assembler.add_delivery(deliver)


def check_variable(name: str, origin: Origin) -> None:
    """Refuse what is no variable's name, and the platform's own credentials: a file that comes with a pull request
    must not send those anywhere. Raises :class:`UsageError`.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise _error(origin, "is not the name of a variable", "write its name only: no $, no {}")
    if _PLATFORM_VARIABLE.fullmatch(name):
        raise _error(
            origin,
            f"{name} belongs to the CI platform and is not sent to a provider",
            "give the credential a variable of its own",
        )


def _parsed(text: str, origin: Origin) -> reference.Reference:
    try:
        return reference.parse(text)
    except reference.BadReferenceError as error:
        raise _error(origin, str(error), "write SCHEME://PATH#FIELD, for example vault://secret/ci#token") from None


def _steps(field: str, origin: Origin) -> tuple[str, ...]:
    try:
        return selector.parse(field)
    except selector.SelectorError as error:
        raise _error(origin, f"the field is {error}", selector.SYNTAX) from None


def _file(path: str, origin: Origin) -> str:
    # Where a file may be is for outputs to say, which knows the workspace; climbing out of it never is.
    if not path or ".." in re.split(r"[/\\]", path) or not path.isprintable():
        raise _error(origin, "is not the path of a file below the workspace", "write a path without ..")
    return path


def options_of(**options: int | str | None) -> tuple[tuple[str, str], ...]:
    """`Read.options` of those that are given."""
    return tuple((key, str(value)) for key, value in options.items() if value is not None)


class _FrozenDict(dict[str, Any]):
    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self.items()))


class _FrozenList(list[Any]):
    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self))


def _frozen(value: Any) -> Any:
    # Reads are compared and hashed, so that equal ones are sent once; JSON encoders take these for what they are.
    if isinstance(value, dict):
        return _FrozenDict({key: _frozen(item) for key, item in value.items()})
    if isinstance(value, list):
        return _FrozenList(_frozen(item) for item in value)
    return value


def _error(origin: Origin, problem: str, change: str = "") -> UsageError:
    return UsageError(f"{origin}: {problem}", change=change, docs="configuration")


_CREDENTIAL_PLACES = ("/var/run/secrets/", "/run/secrets/")
"""Where Kubernetes and Docker mount what is meant for the job."""


def check_credential_file(path: str, origin: Origin, env: Env) -> None:
    """Refuse a credential's file that is neither the job's own nor mounted for it.

    keylease.yml may come from a pull request, and what is in the file goes to the url that it names:
    ``~/.git-credentials`` must not. Raises :class:`UsageError`.
    """
    absolute = os.path.normpath(os.path.join(os.getcwd(), path))
    own = [os.getcwd(), *(env[name] for name in ("RUNNER_TEMP", "WORKSPACE_TMP", "CI_BUILDS_DIR") if env.get(name))]
    places = [*(place.rstrip("/") + "/" for place in own), *_CREDENTIAL_PLACES]
    # Through the links that are there: one in the repository may lead anywhere.
    real = [os.path.realpath(place) + "/" for place in places]
    lexical = any(absolute.startswith(place) for place in places)
    if not lexical or not any(os.path.realpath(absolute).startswith(place) for place in real):
        raise UsageError(
            f"{origin}: {path!r} is outside the working directory and the places where credentials are mounted",
            cause="this file may come from a pull request, and what it names is sent to the server that it names",
            change="copy the credential into the job's temporary directory, or name a variable that holds it",
            docs="credential-file",
        )


_PEM = re.compile(r"\s*(?:-----BEGIN|LS0tLS1CRUdJTi)")  # as text or in base64
_FILLED_LATER = Secret("read before the login")


def check_secret_keys(
    node: Node, fields: Mapping[str, Any], source: str, path: str, env: Env
) -> tuple[dict[str, tuple[NeededSecret, Origin]], dict[str, Any]]:
    """({setting: what is read for it with a provider's lease}, {setting: what stands in for it until then}).

    Refuses values where only a variable's name, a file's path or a reference may be. Raises :class:`UsageError`.
    """
    needs: dict[str, tuple[NeededSecret, Origin]] = {}
    given: dict[str, Any] = {}
    for key, child in node.value.items():
        origin = Origin(source, node.lines[key], f"{path}.{key}")
        if key.endswith("_env") and isinstance(child.value, str):
            check_variable(child.value, origin)
        if key.endswith("_file") and isinstance(child.value, str):
            check_credential_file(child.value, origin, env)
        if key.endswith("_key") and isinstance(child.value, str) and _PEM.match(child.value):
            raise fail(source, origin.line, origin.key, "a secret is never written here", "give the path of a file")
        if is_secret(fields[key]):
            if not isinstance(child.value, dict):
                raise fail(
                    source,
                    origin.line,
                    origin.key,
                    "a secret is never written here",
                    f"name the variable that holds it, `{key}_env: NAME`, or read it with another provider: "
                    f"`{key}: {{secret: vault://…#field, provider: NAME}}`",
                )
            needs[key] = struct(child, NeededSecret, source, origin.key), origin
            given[key] = _FILLED_LATER
    return needs, given
