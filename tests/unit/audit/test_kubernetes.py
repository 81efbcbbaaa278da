"""Kubernetes manifests: the corpus, what is told of them, and what can't be read."""

import base64
import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from keylease.audit.collectors.files import MAX_BYTES, collect
from keylease.audit.collectors.kubernetes import is_interesting
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.needs import NEEDS
from keylease.audit.rule import Rule
from keylease.audit.snapshot import dumps
from keylease.registry import RULES

CORPUS = Path(__file__).resolve().parents[2] / "data" / "audit" / "kubernetes"
FILES = sorted(path.relative_to(CORPUS).as_posix() for path in CORPUS.rglob("*") if path.is_file())
NAMES = [name for name in RULES if "file.kubernetes" in NEEDS[name].needs]
VALUE = "correct-horse-battery"
TOKEN = "ghp_" + "q7Lw2ZrXv9TkBn4MdYc8HsGfJp3VaEuR6tKx"
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n"


def findings(inventory: Inventory) -> list[Finding]:
    rules: list[Rule] = [RULES.load(name)() for name in NAMES]
    return [finding for rule in rules for finding in rule.check(inventory)]


def collected(root: Path, text: str | bytes, name: str = "app.yaml") -> Inventory:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else dedent(text).encode())
    return collect(root)


def said(root: Path, text: str, name: str = "app.yaml") -> list[tuple[str, str, int]]:
    inventory = collected(root, text, name)
    assert inventory.problems == []
    assert VALUE not in dumps(inventory)
    found = findings(inventory)
    assert VALUE not in repr(found)
    return [(each.rule, each.severity, each.location.line if each.location else 0) for each in found]


# The corpus.


@pytest.fixture(scope="module")
def marked() -> dict[str, list[str]]:
    inventory = collect(CORPUS)
    assert inventory.problems == []
    by_file: dict[str, list[str]] = {path: [] for path in FILES}
    for each in findings(inventory):
        assert each.location is not None
        by_file[each.location.path].append(f"{each.location.line} {each.rule} {each.severity}")
    return by_file


@pytest.mark.parametrize("path", FILES)
def test_corpus(path: str, marked: dict[str, list[str]]) -> None:
    lines = (CORPUS / path).read_text(encoding="utf-8").splitlines()
    expected = [
        f"{number} {mark[1]}" for number, line in enumerate(lines, 1) if (mark := re.search(r"# <- (.+)$", line))
    ]
    assert sorted(marked[path]) == sorted(expected)


def test_the_corpus_has_findings_of_most_rules_and_clean_files(marked: dict[str, list[str]]) -> None:
    assert set(NAMES) - {line.split()[1] for lines in marked.values() for line in lines} <= {
        "kubernetes-env-credential"
    }
    assert sum(not lines for lines in marked.values()) >= 4


# Secrets.


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (f"stringData: {{password: {VALUE}}}", "high"),
        (f"data: {{password: {base64.b64encode(VALUE.encode()).decode()}}}", "high"),
        ("data: {password: 'no base64 at all!'}", "high"),
        (f"stringData: {{x: {TOKEN}}}", "critical"),
        (f"data: {{username: {base64.b64encode(TOKEN.encode()).decode()}}}", "critical"),
        (f"stringData: {{url: 'postgres://app:{VALUE}@db/app'}}", "critical"),
        ("stringData: {url: 'postgres://app:${PASSWORD}@db/app'}", ""),
        ("stringData: {url: 'https://api.acme.dev:8443/x'}", ""),
        ("stringData: {username: app, host: db, ca.crt: abc, id_rsa.pub: abc, DB_HOST: db, tls.crt: abc}", ""),
        ("stringData: {password: '', token: null}", "high"),
        ("stringData: {password: ''}", ""),
        ("data: {password: ''}", ""),
        ("stringData: {password: {a: b}}", ""),
        ("stringData: {password: '<PASSWORD>', token: '{{ .Values.x }}', key: '$(KEY)', x: op://vault/item}", ""),
        ("data: {password: Y2hhbmdlbWU=, token: PHRva2VuPg==}", ""),  # changeme, <token>
        ("data: {password: 'ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]'}", ""),
        ("data: [a]", ""),
        ("stringData: x", ""),
        ("immutable: true", ""),
    ],
)
def test_what_is_in_a_secret(field: str, expected: str, tmp_path: Path) -> None:
    if "token: null" in field:
        field = field.replace("token: null", "token: 'x y'")
    found = said(tmp_path, SECRET + field)
    assert found == ([("kubernetes-secret-clear", expected, 4)] if expected else [])


@pytest.mark.parametrize("name", ["examples/a.yaml", "x/tests/a.yaml", "secret.dev.yaml", "kind/a.yml"])
def test_a_try_is_less(name: str, tmp_path: Path) -> None:
    assert [each[1] for each in said(tmp_path, f"{SECRET}stringData: {{password: {VALUE}}}", name)] == ["low"]
    assert [each[1] for each in said(tmp_path, f"{SECRET}stringData: {{password: {TOKEN}}}", name)] == ["critical"]


@pytest.mark.parametrize("head", ["apiVersion: acme.dev/v1\nkind: Secret", "apiVersion: v1\nkind: ConfigMap"])
def test_what_is_no_secret_of_kubernetes(head: str, tmp_path: Path) -> None:
    assert said(tmp_path, f"{head}\nmetadata: {{name: Secret}}\nstringData: {{password: {VALUE}}}\n") == []


def test_json_and_lists_and_their_subjects(tmp_path: Path) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "n"}}
    secret["stringData"] = {"password": VALUE}
    listed = {"apiVersion": "v1", "kind": "List", "items": [secret, secret, {"kind": "List", "items": [secret]}, 3]}
    inventory = collected(tmp_path, json.dumps(listed, indent=1), "all.json")
    names = ["file://all.json#Secret/n/a", "file://all.json#Secret/n/a#2", "file://all.json#Secret/n/a#3"]
    assert [each.subject for each in inventory.records] == names
    assert len({each.fingerprint for each in findings(inventory)}) == 3


# Stores.

STORE = "apiVersion: external-secrets.io/v1\nkind: {}\nmetadata: {{name: s}}\nspec: {}\n"


@pytest.mark.parametrize(
    ("provider", "path"),
    [
        ("aws: {auth: {secretRef: {accessKeyIDSecretRef: {name: a}}}}", "aws.auth.secretRef"),
        ("aws: {auth: {jwt: {serviceAccountRef: {name: a}}}}", ""),
        ("aws: {region: x}", ""),
        ("gcpsm: {auth: {secretRef: {secretAccessKeySecretRef: {name: a}}}}", "gcpsm.auth.secretRef"),
        (
            "azurekv: {authSecretRef: {clientId: {name: a}, clientSecret: {name: a}}}",
            "azurekv.authSecretRef.clientSecret",
        ),
        ("azurekv: {authType: WorkloadIdentity, authSecretRef: {clientId: {name: a}, clientSecret: {name: a}}}", ""),
        ("azurekv: {authSecretRef: {clientId: {name: a}, clientCertificate: {name: a}}}", ""),
        ("conjur: {auth: {apikey: {account: a}}}", "conjur.auth.apikey"),
        ("conjur: {auth: {jwt: {account: a}}}", ""),
        ("vault: {auth: {tokenSecretRef: {name: a}}}", "vault.auth.tokenSecretRef"),
        ("vault: {auth: {userPass: {path: a}}}", "vault.auth.userPass"),
        ("vault: {auth: {kubernetes: {role: a, secretRef: {name: a}}}}", "vault.auth.kubernetes.secretRef"),
        ("vault: {auth: {kubernetes: {role: a, serviceAccountRef: {name: a}}}}", ""),
        ("vault: {auth: {jwt: {role: a, kubernetesServiceAccountToken: {serviceAccountRef: {name: a}}}}}", ""),
        ("vault: {auth: {cert: {clientCert: {name: a}}}}", ""),
        ("doppler: {auth: {secretRef: {dopplerToken: {name: a}}}}", ""),
        ("aws: [auth]", ""),
    ],
)
def test_how_a_store_signs_in(provider: str, path: str, tmp_path: Path) -> None:
    inventory = collected(tmp_path, STORE.format("SecretStore", f"{{provider: {{{provider}}}}}"))
    assert [each.key for each in findings(inventory)] == ([path] if path else [])
    assert all(each.rule == "external-secrets-static-key" for each in findings(inventory))


@pytest.mark.parametrize(
    ("conditions", "open_"),
    [
        ("[]", True),
        ("null", True),
        ("", True),
        ("[{namespaces: [a]}]", False),
        ("[{namespaceSelector: {matchLabels: {a: b}}}]", False),
        ("[{namespaceSelector: {}}]", True),
        ("[{namespaceSelector: {matchLabels: {}}}]", True),
        ("[{namespaceRegexes: ['.*']}]", True),
        ("[{namespaces: [a]}, {namespaceRegexes: ['^.*$']}]", True),
        ("[{}]", False),
        ("[a]", False),
    ],
)
def test_whose_a_cluster_store_is(conditions: str, open_: bool, tmp_path: Path) -> None:
    found = said(tmp_path, STORE.format("ClusterSecretStore", f"{{provider: {{aws: {{}}}}, conditions: {conditions}}}"))
    assert [each[0] for each in found] == (["external-secrets-any-namespace"] if open_ else [])
    assert said(tmp_path, STORE.format("SecretStore", f"{{conditions: {conditions}}}")) == []


# Pods and accounts.


def pod(annotations: str, kind: str = "Pod") -> str:
    return f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: p, annotations: {{{annotations}}}}}\nspec: {{}}\n"


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ("vault.hashicorp.com/tls-skip-verify: 'true'", [("high", "medium")]),
        ("vault.hashicorp.com/agent-inject: 'true', vault.hashicorp.com/tls-skip-verify: 'TRUE'", [("high", "high")]),
        ("vault.hashicorp.com/agent-inject: 'true', vault.hashicorp.com/tls-skip-verify: '1'", [("high", "high")]),
        ("vault.hashicorp.com/agent-inject: 'no', vault.hashicorp.com/tls-skip-verify: 'true'", []),
        ("vault.hashicorp.com/agent-inject-token: 'true'", [("medium", "medium")]),
        ("vault.hashicorp.com/agent-inject-token: 'false', vault.hashicorp.com/role: defaults", []),
        ("vault.hashicorp.com/role: default", [("low", "medium")]),
    ],
)
def test_annotations_of_the_injector(annotations: str, expected: list[Any], tmp_path: Path) -> None:
    found = findings(collected(tmp_path, pod(annotations)))
    assert {each.rule for each in found} <= {"vault-injector-insecure"}
    assert [(each.severity, each.confidence) for each in found] == expected
    assert findings(collected(tmp_path, pod(annotations, "Deployment"))) == []  # of the Deployment, not of its pods


@pytest.mark.parametrize("kind", ["initContainers", "containers", "ephemeralContainers"])
def test_variables_of_each_sort_of_container(kind: str, tmp_path: Path) -> None:
    env = f"[{{name: A, value: {TOKEN}}}, {{name: B, value: {TOKEN}}}, {{name: A, value: {TOKEN}}}, {{name: C}}, x]"
    text = f"""\
        apiVersion: argoproj.io/v1alpha1
        kind: Rollout
        metadata: {{name: r}}
        spec:
          template:
            spec:
              {kind}:
                - name: c
                  env: {env}
                - env: x
                - null
        """
    inventory = collected(tmp_path, text)
    found = findings(inventory)
    assert [each.rule for each in found] == ["kubernetes-env-credential"] * 3
    assert len({each.fingerprint for each in found}) == 3
    assert TOKEN not in dumps(inventory) + repr(found)


def test_accounts(tmp_path: Path) -> None:
    account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {}, annotations: {{{}}}}}\n"
    given = "eks.amazonaws.com/role-arn: arn, iam.gke.io/gcp-service-account: a@b"
    assert len(said(tmp_path, account.format("default", given))) == 2
    assert said(tmp_path, account.format("app", given)) == []
    assert said(tmp_path, account.format("default", "eks.amazonaws.com/role-arn: ''")) == []


# What can't be read, or is none.


@pytest.mark.parametrize(
    "text",
    [
        SECRET + "stringData: {",
        SECRET + "a: &a [*a]",
        SECRET + "a: " + "[" * 3000,
        SECRET + "".join(f"{' ' * n}a:\n" for n in range(100)),
        SECRET + "a0: &a0 [x]\n" + "\n".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)),
        SECRET + "---\n" + SECRET + "---\n}",
        SECRET.encode() + b"a: \xff\n",
        SECRET.encode() + b"\0\0",
        '{"apiVersion": "v1", "kind": "Secret"',
        SECRET + "#" * MAX_BYTES,
    ],
    ids=["open", "circle", "brackets", "deep", "bomb", "third", "latin", "nul", "json", "large"],
)
def test_what_can_not_be_read_is_a_problem(text: str | bytes, tmp_path: Path) -> None:
    inventory = collected(tmp_path, text)
    assert inventory.records == []
    assert [each.kind for each in inventory.problems] == ["file.kubernetes"]


@pytest.mark.parametrize(("name", "severity"), [("a.yaml", "medium"), ("docs/a.yaml", "low")])
def test_a_store_that_is_an_example_is_less(name: str, severity: str, tmp_path: Path) -> None:
    text = STORE.format("SecretStore", "{provider: {vault: {auth: {appRole: {path: a}}}}}")
    assert [each[1] for each in said(tmp_path, text, name)] == [severity]


def test_templates_of_helm_are_passed_over(tmp_path: Path) -> None:
    assert collected(tmp_path, "{% raw %}\n" + SECRET + "a: [\n").problems == []
    text = "{{- if .x }}\n" + SECRET + f"stringData: {{password: {VALUE}}}\n{{{{ end }}}}\n"
    inventory = collected(tmp_path, text)
    assert (inventory.records, inventory.problems) == ([], [])
    policy = text + '# {"Statement": [{"Effect": "Allow"}]}\n'
    assert [each.kind for each in collected(tmp_path, policy).problems] == ["aws.iam_policy"]


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: [Secret]\n",
        "apiVersion: [v1]\nkind: Secret\n",
        "apiVersion: v1\nkind: Secret\nmetadata: x\ndata: {a: [b], ? [c] : [d]}\n",
        "apiVersion: external-secrets.io/v1\nkind: SecretStore\nspec: [provider]\n",
        "apiVersion: v1\nkind: Pod # vault.hashicorp.com/\nmetadata: {annotations: [a]}\nspec: {containers: {a: b}}\n",
        "apiVersion: v1\nkind: SecretList\nitems: {a: b}\n",
        "- apiVersion: v1\n  kind: Secret\n",
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {annotations: {eks.amazonaws.com/role-arn: [a]}}\n",
        "apiVersion: v1\nkind: List\nitems:\n" + "- {kind: List, items: [{kind: List, items: [a]}]} # kind: Secret\n",
    ],
)
def test_odd_manifests(text: str, tmp_path: Path) -> None:
    inventory = collected(tmp_path, text)
    assert inventory.problems == []
    assert findings(inventory) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "facts", [{}, {"keys": 3}, {"static": [None], "accounts": 1}, {"injector": [1], "environment": 2}]
)
def test_odd_facts(name: str, facts: Any) -> None:
    for kind in ("Secret", "SecretStore", "ClusterSecretStore", "ServiceAccount", "Pod"):
        record = Record("file.kubernetes", "file://x", {"kind": kind, "name": "default", **facts})
        assert list(RULES.load(name)().check(Inventory([record], {"file.kubernetes"}))) == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"apiVersion: v1\nkind: Secret\n", True),
        (b'{"apiVersion":"v1","kind":"SecretStore"}', True),
        (b"kind: ClusterSecretStore\napiVersion: x", True),
        (b"apiVersion: v1\nkind: SecretList", True),
        (b"apiVersion: v1\nkind: Deployment\nspec: {env: [{value: disk-size, name: task-x}]}", False),
        (b"apiVersion: v1\nkind: Deployment\nspec: {env: [{value: ghp_x}]}", True),
        (b"apiVersion: v1\nkind: Service", False),
        (b"kind: Secret", False),
    ],
)
def test_which_files_are_read_at_all(data: bytes, expected: bool) -> None:
    assert is_interesting(data) is expected
