"""Terraform's JSON syntax (``*.tf.json``, also what CDK for Terraform writes) as the blocks of its own language.

https://developer.hashicorp.com/terraform/language/syntax/json: a text is a template; where a block is expected there
may be a list of them, at each level; ``//`` is a comment.
"""

import json
from collections.abc import Iterator
from typing import Any

from keylease.audit.hcl import Attribute, Block, HclError, Raw, parse
from keylease.audit.trees import Tree, TreeError, json_tree

_LABELS = {"resource": 2, "data": 2, "locals": 0}
_INNER = frozenset(
    (
        "statement",
        "principals",
        "not_principals",
        "condition",
        "inline_policy",
        "oidc",
        "aws",
        "saml",
        "x509",
        "rule",
        "binding",
    )
)
"""Blocks inside of a resource that anything here is for: only the provider's schema tells them from attributes."""

Path = tuple[str | int, ...]


def parse_json(text: str) -> Block:
    """A file, as a block without a type. Raises :class:`HclError`."""
    text = text.removeprefix("\ufeff")
    try:
        json.loads(text, object_pairs_hook=_unique)
        tree = json_tree(text)
    except TreeError as error:
        raise HclError(str(error), error.line) from None
    except RecursionError:
        raise HclError("it is nested too deeply", 0) from None
    except json.JSONDecodeError as error:
        raise HclError(error.msg, error.lineno) from None
    except ValueError:
        raise HclError("a name is given twice in one object, or a number is too long", 0) from None
    root = Block("", [], 1)
    for body, at in _listed(tree.data, ()):
        if not isinstance(body, dict):
            raise HclError("it holds no object", tree.line(*at))
        for kind, given in body.items():
            if kind in _LABELS:
                root.blocks += _labelled(tree, kind, given, (*at, kind), ())
    return root


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("twice")
    return found


def _listed(node: Any, at: Path) -> Iterator[tuple[Any, Path]]:
    if isinstance(node, list):
        for number, each in enumerate(node):
            yield each, (*at, number)
    else:
        yield node, at


def _labelled(tree: Tree, kind: str, node: Any, at: Path, labels: tuple[str, ...]) -> Iterator[Block]:
    for body, here in _listed(node, at):
        if not isinstance(body, dict):
            raise HclError(f"a {kind} is no object", tree.line(*here))
        if len(labels) == _LABELS[kind]:
            yield _block(tree, kind, body, here, labels)
            continue
        for label, inner in body.items():
            if label != "//":
                yield from _labelled(tree, kind, inner, (*here, label), (*labels, label))


def _block(tree: Tree, kind: str, body: dict[str, Any], at: Path, labels: tuple[str, ...] = ()) -> Block:
    block = Block(kind, list(labels), tree.line(*at) or 1)
    for key, value in body.items():
        if key == "//":
            continue
        inner = [*_listed(value, (*at, key))]
        if key == "dynamic":
            names = [name for each, _ in inner if isinstance(each, dict) for name in each]
            block.blocks += [Block("dynamic", [name], tree.line(*at, key) or 1) for name in names or [""]]
        elif key in _INNER and any(isinstance(each, dict) for each, _ in inner):
            for each, here in inner:
                made = _block(tree, key, each, here) if isinstance(each, dict) else Block("dynamic", [key], block.line)
                block.blocks.append(made)
        else:
            block.attributes[key] = Attribute(_value(value), tree.line(*at, key) or 1)
            # Outside of statements these two are attributes as well.
            own = kind == "statement" or key not in ("condition", "aws")
            if key in _INNER and own and value not in ([], "null"):  # the blocks are computed
                block.blocks.append(Block("dynamic", [key], tree.line(*at, key) or 1))
    return block


def _value(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _value(each) for key, each in node.items()}
    if isinstance(node, list):
        return [_value(each) for each in node]
    return None if node == "null" else _template(str(node))


def _template(text: str) -> Any:
    """A text with ``${…}`` in it stays so; one that is nothing else is its expression."""
    bare = text.strip()
    if "%{" in text.replace("%%{", ""):
        return Raw(json.dumps(text))
    if bare.startswith("${") and _end(bare) == len(bare):
        inner = bare[2:-1].strip()
        try:
            root = parse(f"x = {inner}\n")
        except HclError:
            return Raw(inner)
        only = not root.blocks and set(root.attributes) == {"x"}
        return root.value("x") if only else Raw(inner)
    return text.replace("$${", "${").replace("%%{", "%{")


def _end(text: str) -> int:
    """Where the ``${`` at the beginning is closed; 0: nowhere."""
    depth = 0
    for at, sign in enumerate(text):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if sign == "}" and not depth:
            return at + 1
    return 0
