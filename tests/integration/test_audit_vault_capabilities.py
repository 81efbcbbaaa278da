"""Which stanza of a policy decides: held against what a real OpenBao says of random policies."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keylease.audit.vault_policies import allowed, stanzas
from tests.servers.openbao import OpenBao

SEGMENT = st.sampled_from(["a", "b", "ab", "+"])
PATTERN = st.tuples(st.lists(SEGMENT, min_size=1, max_size=3).map("/".join), st.sampled_from(["", "", "*", "/*"])).map(
    "".join
)
PATTERNS = PATTERN.filter(lambda path: not path.endswith("+*"))  # the server takes no `+*`
CAPABILITIES = st.lists(
    st.sampled_from(["create", "read", "update", "sudo", "patch", "delete"]), min_size=1, max_size=3, unique=True
)
GIVEN = st.one_of(CAPABILITIES, CAPABILITIES, st.just(["deny"]))
PATHS = [
    "/".join(parts)
    for first in ("a", "b", "ab", "c")
    for parts in ((first,), (first, "a"), (first, "ab"), (first, "b", "a"), (first, "c", "ab"))
]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(PATTERNS, GIVEN, min_size=1, max_size=4))
def test_it_decides_as_the_server(openbao: OpenBao, unique: Callable[[str], str], policy: dict[str, Any]) -> None:
    text = "\n".join(
        f"path {json.dumps(path)} {{ capabilities = {json.dumps(each)} }}" for path, each in policy.items()
    )
    name = openbao.policy(unique("p"), text)
    token = openbao.new_token(policies=[name], no_default_policy=True)
    said = openbao.write("sys/capabilities", token=token, paths=PATHS)["data"]
    for path in PATHS:
        found = allowed(stanzas(text), path)
        ours = sorted(found[1]) if found and found[1] else ["deny"]
        assert ours == sorted(said[path]), (path, text)
