"""Static credentials whose vendor takes a job's identity token instead, and the lines of Keylease that replace them."""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from keylease.audit.model import Confidence, Persona
from keylease.errors import DOCS


class Kind(Struct, frozen=True):
    """One vendor's static credential.

    provider: `type` in keylease.yml. vendor, label: for messages. variables: those that its programs read, upper case.
    secret: a secret with such a name holds one. not_secret: unless its name says that it is somebody else's, who has no
    federation. inputs: of actions, by ``owner/repo`` and input, lower case. endpoints: variables that send the
    credential to another server; own: hosts with which it still is the vendor's. settings: of the provider, the lines
    to fill in. lease: lines below ``leases:``. then: what else to do.
    """

    provider: str
    vendor: str
    label: str
    variables: frozenset[str]
    secret: re.Pattern[str]
    settings: Sequence[str]
    not_secret: re.Pattern[str] | None = None
    inputs: frozenset[tuple[str, str]] = frozenset()
    endpoints: frozenset[str] = frozenset()
    own: tuple[str, ...] = ()
    lease: Sequence[str] = ()
    then: str = ""
    confidence: Confidence = "high"
    persona: Persona = "regular"

    @property
    def docs(self) -> str:
        """How its provider is set up."""
        return f"{DOCS}/providers/{self.provider}.md"

    def keylease(self, overrides: Mapping[str, str] | None = None) -> str:
        """A whole keylease.yml. overrides: setting → what to write instead of the placeholder."""
        lines = ["version: 1", "providers:", f"  {self.provider}:", f"    type: {self.provider}"]
        for line in self.settings:
            name, _, value = line.partition(": ")
            lines.append(f"    {name}: {(overrides or {}).get(name, value)}")
        return "\n".join([*lines, "leases:", *(self.lease or (f"  - use: {self.provider}",))])


_OTHER_MODELS = re.compile(
    r"AZURE|GROQ|DEEPSEEK|MISTRAL|TOGETHER|XAI|GROK|PERPLEXITY|FIREWORKS|CEREBRAS|MOONSHOT|KIMI|QWEN|DASHSCOPE|GLM|ZAI"
    r"|ZHIPU|BEDROCK|GEMINI|GOOGLE|LITELLM|PROXY|GATEWAY|OLLAMA|VLLM|LOCAL|MOCK|FAKE|DUMMY|MINIMAX|NVIDIA|SILICONFLOW"
    r"|COPILOT|GITHUB|POE|NEBIUS|SAMBANOVA"
)

_S3_LIKE = re.compile(
    r"(?:^|_)(?:R2|CF|CLOUDFLARE|MINIO|B2|BACKBLAZE|WASABI|SPACES|DO|DIGITALOCEAN|LINODE|HETZNER|SCALEWAY|SCW|CEPH|TIGRIS"
    r"|IDRIVE|OVH|YANDEX|YC|ALIYUN|OSS|STORJ|VULTR|EXOSCALE|GARAGE|RUSTFS|SUPABASE|FLY|LOCALSTACK|GCS|OPENSTACK)(?:_|$)"
)

KINDS: Sequence[Kind] = (
    Kind(
        provider="aws",
        vendor="AWS",
        label="AWS access key",
        variables=frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY", "AWS_SECRET_KEY"}),
        secret=re.compile(r"(?:^|_)AWS_(?:SECRET_ACCESS_KEY|ACCESS_KEY_ID|SECRET_KEY|ACCESS_KEY|SECRET)(?:_|$)"),
        not_secret=_S3_LIKE,
        endpoints=frozenset(
            {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_S3_ENDPOINT", "S3_ENDPOINT", "AWS_ENDPOINT"}
        ),
        own=("amazonaws.com",),
        settings=("role_arn: arn:aws:iam::ACCOUNT_ID:role/ROLE", "region: REGION"),
        then="deactivate the access key: aws iam update-access-key --status Inactive --access-key-id …",
    ),
    Kind(
        provider="gcp",
        vendor="Google Cloud",
        label="Google service account key",
        variables=frozenset(
            {
                "GOOGLE_CREDENTIALS",
                "GOOGLE_CREDENTIALS_JSON",
                "GOOGLE_APPLICATION_CREDENTIALS",
                "GOOGLE_APPLICATION_CREDENTIALS_JSON",
                "GCP_SA_KEY",
                "GCP_CREDENTIALS",
                "GCP_SERVICE_ACCOUNT_KEY",
                "GCLOUD_SERVICE_KEY",
                "GCLOUD_SERVICE_ACCOUNT_KEY",
                "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
            }
        ),
        secret=re.compile(
            r"(?:^|_)(?:GOOGLE_(?:APPLICATION_)?CREDENTIALS(?:_JSON)?|(?:GCP|GCLOUD|GOOGLE|GKE)_(?:SA|SERVICE(?:_ACCOUNT)?)_"
            r"(?:KEY|JSON|CREDENTIALS)(?:_JSON)?|GCP_(?:CREDENTIALS|KEY)(?:_JSON)?)(?:_|$)"
        ),
        inputs=frozenset(
            {
                ("google-github-actions/auth", "credentials_json"),
                ("google-github-actions/setup-gcloud", "service_account_key"),
            }
        ),
        settings=(
            "workload_identity_provider: projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/NAME",
            "service_account: NAME@PROJECT.iam.gserviceaccount.com",
        ),
        then="delete the key: gcloud iam service-accounts keys delete KEY_ID --iam-account …",
    ),
    Kind(
        provider="azure",
        vendor="Azure",
        label="Azure client secret",
        variables=frozenset({"AZURE_CLIENT_SECRET", "ARM_CLIENT_SECRET", "AZURE_CREDENTIALS"}),
        secret=re.compile(r"(?:^|_)(?:(?:AZURE|ARM)_CLIENT_SECRET|AZURE_CREDENTIALS)(?:_|$)"),
        inputs=frozenset({("azure/login", "creds")}),
        settings=("tenant_id: TENANT_ID", "client_id: CLIENT_ID", "subscription_id: SUBSCRIPTION_ID"),
        then="delete the client secret: az ad app credential delete --id CLIENT_ID --key-id …",
    ),
    Kind(
        provider="vault",
        vendor="Vault",
        label="Vault token or SecretID",
        variables=frozenset({"VAULT_TOKEN", "BAO_TOKEN", "VAULT_SECRET_ID", "BAO_SECRET_ID"}),
        secret=re.compile(r"(?:^|_)(?:VAULT|BAO|OPENBAO)_(?:TOKEN|(?:APPROLE_)?SECRET_?ID)(?:_|$)"),
        not_secret=re.compile(r"ANSIBLE|AZURE|KEY_?VAULT|LOCAL|(?:^|_)DEV_"),
        inputs=frozenset(
            {
                ("hashicorp/vault-action", "token"),
                ("hashicorp/vault-action", "secretid"),
                ("keylease/keylease", "token"),
                ("keylease/keylease", "secret-id"),
            }
        ),
        settings=("url: https://VAULT_ADDRESS", "role: ROLE"),
        lease=("  - secret: vault://MOUNT/PATH#FIELD # what the job reads with its token now", "    env: NAME"),
        then="revoke the token, or destroy the SecretID",
    ),
    Kind(
        provider="conjur",
        vendor="Conjur",
        label="Conjur API key",
        variables=frozenset({"CONJUR_AUTHN_API_KEY", "CONJUR_API_KEY"}),
        secret=re.compile(r"(?:^|_)CONJUR_(?:AUTHN_)?API_KEY(?:_|$)"),
        inputs=frozenset({("cyberark/conjur-action", "api_key")}),
        settings=("url: https://CONJUR_ADDRESS", "account: ACCOUNT", "service_id: github", "host_id: HOST_ID"),
        then="rotate the host's API key: conjur host rotate-api-key -i HOST_ID",
    ),
    Kind(
        provider="openai",
        vendor="OpenAI",
        label="OpenAI API key",
        variables=frozenset({"OPENAI_API_KEY", "OPENAI_KEY"}),
        secret=re.compile(r"(?:^|_)OPENAI_(?:API_)?(?:KEY|TOKEN)(?:_|$)"),
        not_secret=_OTHER_MODELS,
        endpoints=frozenset({"OPENAI_BASE_URL", "OPENAI_API_BASE"}),
        own=("api.openai.com",),
        settings=("identity_provider_id: IDENTITY_PROVIDER_ID", "service_account_id: SERVICE_ACCOUNT_ID"),
        then="delete the key in the project's settings",
    ),
    Kind(
        provider="anthropic",
        vendor="Anthropic",
        label="Anthropic API key",
        variables=frozenset({"ANTHROPIC_API_KEY", "CLAUDE_API_KEY"}),
        secret=re.compile(r"(?:^|_)(?:ANTHROPIC|CLAUDE)_(?:API_)?KEY(?:_|$)"),
        not_secret=_OTHER_MODELS,
        endpoints=frozenset({"ANTHROPIC_BASE_URL"}),
        own=("api.anthropic.com",),
        settings=(
            "federation_rule_id: FEDERATION_RULE_ID",
            "organization_id: ORGANIZATION_ID",
            "service_account_id: SERVICE_ACCOUNT_ID",
        ),
        then="disable the key, and remove ANTHROPIC_API_KEY from env: even empty it wins over ANTHROPIC_AUTH_TOKEN",
    ),
    Kind(
        provider="huggingface",
        vendor="Hugging Face",
        label="Hugging Face token",
        variables=frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN", "HUGGINGFACEHUB_API_TOKEN"}),
        secret=re.compile(r"(?:^|_)(?:HF|HUGGING_?FACE(?:_?HUB)?)_(?:API_)?(?:TOKEN|KEY)(?:_|$)"),
        endpoints=frozenset({"HF_ENDPOINT"}),
        own=("huggingface.co",),
        settings=("resource: OWNER/REPOSITORY",),
        then="invalidate the token; one that reads several private repositories has no replacement yet",
        confidence="medium",
    ),
    Kind(
        provider="databricks",
        vendor="Databricks",
        label="Databricks token or client secret",
        variables=frozenset({"DATABRICKS_TOKEN", "DATABRICKS_CLIENT_SECRET"}),
        secret=re.compile(r"(?:^|_)DATABRICKS_(?:[A-Z]+_)?(?:TOKEN|CLIENT_SECRET)(?:_|$)"),
        settings=("host: https://WORKSPACE.cloud.databricks.com", "client_id: CLIENT_ID"),
        then="revoke the token: databricks tokens delete TOKEN_ID",
    ),
    Kind(
        provider="openrouter",
        vendor="OpenRouter",
        label="OpenRouter API key",
        variables=frozenset({"OPENROUTER_API_KEY"}),
        secret=re.compile(r"(?:^|_)OPENROUTER_(?:API_)?(?:KEY|TOKEN)(?:_|$)"),
        settings=("federation_policy_id: FEDERATION_POLICY_ID",),
        then="delete the key (federation needs an Enterprise plan)",
        confidence="low",
        persona="pedantic",
    ),
    Kind(
        provider="wandb",
        vendor="W&B",
        label="W&B API key",
        variables=frozenset({"WANDB_API_KEY"}),
        secret=re.compile(r"(?:^|_)(?:WANDB|WB)_API_KEY(?:_|$)"),
        endpoints=frozenset({"WANDB_BASE_URL"}),
        own=("wandb.ai",),
        settings=("audience: ORGANIZATION",),
        then="delete the key (federation is a preview for Enterprise plans)",
        confidence="low",
        persona="pedantic",
    ),
)


def kind_of_secret(name: str) -> Kind | None:
    """What a secret with this name holds. None: nobody knows, or somebody who has no federation."""
    name = name.upper()
    for kind in KINDS:
        if kind.secret.search(name):
            return None if kind.not_secret and kind.not_secret.search(name) else kind
    return None


def kind_of(target: str, secret: str) -> Kind | None:
    """What `secret` holds that is put into a variable or input called `target`: the secret's own name knows best."""
    variable = target.upper().replace("-", "_")
    for kind in KINDS:
        if kind.not_secret and variable in kind.variables and kind.not_secret.search(secret.upper()):
            return None
    named = kind_of_secret(secret)
    return named or next((kind for kind in KINDS if variable in kind.variables), None)
