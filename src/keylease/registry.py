"""Which implementations exist, by name, per role.

A static table on purpose: lazy (a lease from Vault imports nothing of another vendor's), greppable, and no
package that happens to be installed can join the token path by an entry point.
"""

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from keylease.errors import UsageError

if TYPE_CHECKING:
    from keylease.audit.rule import Rule
    from keylease.collectors.base import Collector
    from keylease.exchange.base import Exchanger
    from keylease.identity.base import Identity
    from keylease.managers.base import Manager
    from keylease.targets.base import Target

T = TypeVar("T")


class Registry(Generic[T]):
    """Name → class, imported on first use."""

    def __init__(self, role: str, table: Mapping[str, str]) -> None:
        self.role = role
        self._table = dict(table)

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def load(self, name: str) -> type[T]:
        """The class for `name`. Raises :class:`UsageError` naming the known ones (without importing them)."""
        try:
            target = self._table[name]
        except KeyError:
            import difflib

            near = difflib.get_close_matches(name, self._table, 1)
            raise UsageError(
                f"{self.role}: there is no {name!r}",
                cause=f"did you mean {near[0]!r}?" if near else "",
                change=f"use one of: {', '.join(self._table)}",
                docs="unknown-provider",
            ) from None
        module, _, attribute = target.partition(":")
        found: type[T] = getattr(importlib.import_module(module), attribute)
        return found


IDENTITIES: "Registry[Identity]" = Registry(
    "identity",
    {  # in the order they are asked: an explicit KEYLEASE_ID_TOKEN wins over what the platform offers
        "explicit": "keylease.identity.env:ExplicitIdentity",
        "github": "keylease.identity.github:GitHubIdentity",
        "gitlab": "keylease.identity.gitlab:GitLabIdentity",
        "circleci": "keylease.identity.env:CircleCIIdentity",
        "bitbucket": "keylease.identity.env:BitbucketIdentity",
        "buildkite": "keylease.identity.buildkite:BuildkiteIdentity",
        "azure-devops": "keylease.identity.azure_devops:AzureDevOpsIdentity",
        "eks": "keylease.identity.env:EksIdentity",  # last: the runner's own, where the job has none
    },
)

EXCHANGERS: "Registry[Exchanger]" = Registry(
    "provider",
    {
        "vault": "keylease.exchange.vault:VaultExchanger",
        "openai": "keylease.exchange.openai:OpenAIExchanger",
        "anthropic": "keylease.exchange.anthropic:AnthropicExchanger",
        "databricks": "keylease.exchange.databricks:DatabricksExchanger",
        "conjur": "keylease.exchange.conjur:ConjurExchanger",
        "huggingface": "keylease.exchange.huggingface:HuggingFaceExchanger",
        "openrouter": "keylease.exchange.openrouter:OpenRouterExchanger",
        "wandb": "keylease.exchange.wandb:WandbExchanger",
        "gcp": "keylease.exchange.gcp:GcpExchanger",
        "azure": "keylease.exchange.azure:AzureExchanger",
        "aws": "keylease.exchange.aws:AwsExchanger",
    },
)

MANAGERS: "Registry[Manager]" = Registry(
    "secrets manager",
    {
        "vault": "keylease.managers.vault:VaultManager",
        "aws-sm": "keylease.managers.aws_sm:AwsSecretsManager",
        "aws-ssm": "keylease.managers.aws_ssm:AwsParameterStore",
        "azure-kv": "keylease.managers.azure_kv:AzureKeyVaultManager",
        "gcp-sm": "keylease.managers.gcp_sm:GcpSecretManager",
        "conjur": "keylease.managers.conjur:ConjurManager",
    },
)

TARGETS: "Registry[Target]" = Registry(
    "target",
    {
        "github": "keylease.targets.github:GitHubTarget",
        "gitlab": "keylease.targets.gitlab:GitLabTarget",
        "jenkins": "keylease.targets.jenkins:JenkinsTarget",
    },
)

COLLECTORS: "Registry[Collector]" = Registry(
    "collector",
    {
        "aws": "keylease.collectors.aws:AwsCollector",
        "anthropic": "keylease.collectors.anthropic:AnthropicCollector",
        "azure": "keylease.collectors.azure:AzureCollector",
        "databricks": "keylease.collectors.databricks:DatabricksCollector",
        "gcp": "keylease.collectors.gcp:GcpCollector",
        "github": "keylease.collectors.github:GitHubCollector",
        "gitlab": "keylease.collectors.gitlab:GitLabCollector",
        "huggingface": "keylease.collectors.huggingface:HuggingFaceCollector",
        "jenkins": "keylease.collectors.jenkins:JenkinsCollector",
        "job": "keylease.collectors.job:JobCollector",
        "openai": "keylease.collectors.openai:OpenAICollector",
        "pinecone": "keylease.collectors.pinecone:PineconeCollector",
        "vault": "keylease.collectors.vault:VaultCollector",
    },
)

RULES: "Registry[Rule]" = Registry(
    "rule",
    {
        "aws-iam-admin": "keylease.audit.rules.aws_iam_admin:IamAdmin",
        "aws-iam-service-wildcard": "keylease.audit.rules.aws_iam_service_wildcard:IamServiceWildcard",
        "aws-iam-privilege-escalation": "keylease.audit.rules.aws_iam_privilege_escalation:IamPrivilegeEscalation",
        "aws-iam-data-exfiltration": "keylease.audit.rules.aws_iam_data_exfiltration:IamDataExfiltration",
        "aws-iam-credentials-exposure": "keylease.audit.rules.aws_iam_credentials_exposure:IamCredentialsExposure",
        "aws-iam-pass-role": "keylease.audit.rules.aws_iam_pass_role:IamPassRole",
        "aws-iam-not-action": "keylease.audit.rules.aws_iam_not_action:IamNotAction",
        "aws-trust-no-subject": "keylease.audit.rules.aws_trust_no_subject:AwsTrustNoSubject",
        "aws-trust-subject-wildcard": "keylease.audit.rules.aws_trust_subject_wildcard:AwsTrustSubjectWildcard",
        "aws-trust-for-all-values": "keylease.audit.rules.aws_trust_for_all_values:AwsTrustForAllValues",
        "aws-trust-if-exists": "keylease.audit.rules.aws_trust_if_exists:AwsTrustIfExists",
        "aws-trust-no-audience": "keylease.audit.rules.aws_trust_no_audience:AwsTrustNoAudience",
        "aws-trust-pull-request": "keylease.audit.rules.aws_trust_pull_request:AwsTrustPullRequest",
        "aws-trust-any-ref": "keylease.audit.rules.aws_trust_any_ref:AwsTrustAnyRef",
        "aws-trust-renamable-name": "keylease.audit.rules.aws_trust_renamable_name:AwsTrustRenamableName",
        "aws-trust-wildcard-principal": "keylease.audit.rules.aws_trust_wildcard_principal:AwsTrustWildcardPrincipal",
        "aws-managed-admin-policy": "keylease.audit.rules.aws_managed_admin_policy:AwsManagedAdminPolicy",
        "aws-trust-eks-wildcard": "keylease.audit.rules.aws_trust_eks_wildcard:AwsTrustEksWildcard",
        "aws-root-access-key": "keylease.audit.rules.aws_root_access_key:AwsRootAccessKey",
        "aws-access-key-admin": "keylease.audit.rules.aws_access_key_admin:AwsAccessKeyAdmin",
        "aws-user-two-keys": "keylease.audit.rules.aws_user_two_keys:AwsUserTwoKeys",
        "aws-access-key-beside-oidc": "keylease.audit.rules.aws_access_key_beside_oidc:AwsAccessKeyBesideOidc",
        "aws-role-unused": "keylease.audit.rules.aws_role_unused:AwsRoleUnused",
        "aws-secret-no-rotation": "keylease.audit.rules.aws_secret_no_rotation:AwsSecretNoRotation",
        "credential-stale": "keylease.audit.rules.credential_stale:CredentialStale",
        "credential-unused": "keylease.audit.rules.credential_unused:CredentialUnused",
        "credential-no-end": "keylease.audit.rules.credential_no_end:CredentialNoEnd",
        "credential-long-lived": "keylease.audit.rules.credential_long_lived:CredentialLongLived",
        "credential-expires-soon": "keylease.audit.rules.credential_expires_soon:CredentialExpiresSoon",
        "credential-age-unknown": "keylease.audit.rules.credential_age_unknown:CredentialAgeUnknown",
        "workflow-all-secrets": "keylease.audit.rules.workflow_all_secrets:WorkflowAllSecrets",
        "workflow-clear-secret": "keylease.audit.rules.workflow_clear_secret:WorkflowClearSecret",
        "workflow-id-token-scope": "keylease.audit.rules.workflow_id_token_scope:WorkflowIdTokenScope",
        "workflow-permissions": "keylease.audit.rules.workflow_permissions:WorkflowPermissions",
        "workflow-secret-in-script": "keylease.audit.rules.workflow_secret_in_script:WorkflowSecretInScript",
        "workflow-secret-no-environment": "keylease.audit.rules.workflow_secret_no_environment:SecretNoEnvironment",
        "workflow-secret-printed": "keylease.audit.rules.workflow_secret_printed:WorkflowSecretPrinted",
        "workflow-secrets-inherit": "keylease.audit.rules.workflow_secrets_inherit:WorkflowSecretsInherit",
        "workflow-static-key": "keylease.audit.rules.workflow_static_key:WorkflowStaticKey",
        "workflow-unpinned-action": "keylease.audit.rules.workflow_unpinned_action:WorkflowUnpinnedAction",
        "workflow-untrusted-checkout": "keylease.audit.rules.workflow_untrusted_checkout:WorkflowUntrustedCheckout",
        "github-classic-token": "keylease.audit.rules.github_classic_token:GithubClassicToken",
        "github-deploy-key-departed": "keylease.audit.rules.github_deploy_key_departed:DeployKeyDeparted",
        "github-deploy-key-write": "keylease.audit.rules.github_deploy_key_write:DeployKeyWrite",
        "github-environment-unprotected": "keylease.audit.rules.github_environment_unprotected:EnvironmentUnprotected",
        "github-installation-broad": "keylease.audit.rules.github_installation_broad:InstallationBroad",
        "github-secret-all-repositories": "keylease.audit.rules.github_secret_all_repositories:SecretAllRepositories",
        "github-secret-copies": "keylease.audit.rules.github_secret_copies:SecretCopies",
        "github-secret-many-repositories": "keylease.audit.rules.github_secret_many_repositories:ManyRepositories",
        "github-secret-shadowed": "keylease.audit.rules.github_secret_shadowed:SecretShadowed",
        "github-secret-since-departure": "keylease.audit.rules.github_secret_since_departure:SecretSinceDeparture",
        "github-secret-static-key": "keylease.audit.rules.github_secret_static_key:SecretStaticKey",
        "github-secret-unused": "keylease.audit.rules.github_secret_unused:SecretUnused",
        "github-token-grant-broad": "keylease.audit.rules.github_token_grant_broad:TokenGrantBroad",
        "github-variable-credential": "keylease.audit.rules.github_variable_credential:VariableCredential",
        "github-workflow-write-default": "keylease.audit.rules.github_workflow_write_default:WorkflowWriteDefault",
        "gitlab-job-token-open": "keylease.audit.rules.gitlab_job_token_open:JobTokenOpen",
        "gitlab-variable-exposed": "keylease.audit.rules.gitlab_variable_exposed:VariableExposed",
        "gitlab-deploy-key-write": "keylease.audit.rules.gitlab_deploy_key_write:GitlabDeployKeyWrite",
        "gitlab-deploy-token-write": "keylease.audit.rules.gitlab_deploy_token_write:DeployTokenWrite",
        "gitlab-token-broad": "keylease.audit.rules.gitlab_token_broad:TokenBroad",
        "gitlab-variable-scope": "keylease.audit.rules.gitlab_variable_scope:VariableScope",
        "gitlab-variable-shared": "keylease.audit.rules.gitlab_variable_shared:VariableShared",
        "gitlab-variable-static-key": "keylease.audit.rules.gitlab_variable_static_key:VariableStaticKey",
        "jenkins-credential-static-key": "keylease.audit.rules.jenkins_credential_static_key:JenkinsStaticKey",
        "jenkins-credential-system-wide": "keylease.audit.rules.jenkins_credential_system_wide:CredentialSystemWide",
        "jenkinsfile-clear-secret": "keylease.audit.rules.jenkinsfile_clear_secret:JenkinsfileClearSecret",
        "jenkinsfile-secret-interpolated": "keylease.audit.rules.jenkinsfile_secret_interpolated:SecretInterpolated",
        "jenkinsfile-static-key": "keylease.audit.rules.jenkinsfile_static_key:JenkinsfileStaticKey",
        "gitlab-clear-secret": "keylease.audit.rules.gitlab_clear_secret:GitlabClearSecret",
        "gitlab-id-token-audience": "keylease.audit.rules.gitlab_id_token_audience:IdTokenAudience",
        "gitlab-include-unpinned": "keylease.audit.rules.gitlab_include_unpinned:IncludeUnpinned",
        "gitlab-secret-printed": "keylease.audit.rules.gitlab_secret_printed:GitlabSecretPrinted",
        "gitlab-static-key": "keylease.audit.rules.gitlab_static_key:GitlabStaticKey",
        "gcp-key-beside-federation": "keylease.audit.rules.gcp_key_beside_federation:GcpKeyBesideFederation",
        "gcp-provider-no-condition": "keylease.audit.rules.gcp_provider_no_condition:GcpProviderNoCondition",
        "gcp-provider-renamable-name": "keylease.audit.rules.gcp_provider_renamable_name:ProviderRenamableName",
        "gcp-public-binding": "keylease.audit.rules.gcp_public_binding:GcpPublicBinding",
        "gcp-strong-role": "keylease.audit.rules.gcp_strong_role:GcpStrongRole",
        "gcp-wide-principal-set": "keylease.audit.rules.gcp_wide_principal_set:GcpWidePrincipalSet",
        "vault-policy-escalation": "keylease.audit.rules.vault_policy_escalation:VaultPolicyEscalation",
        "vault-policy-everything": "keylease.audit.rules.vault_policy_everything:VaultPolicyEverything",
        "vault-policy-sudo": "keylease.audit.rules.vault_policy_sudo:VaultPolicySudo",
        "vault-policy-whole-mount": "keylease.audit.rules.vault_policy_whole_mount:VaultPolicyWholeMount",
        "vault-role-admin-policy": "keylease.audit.rules.vault_role_admin_policy:VaultRoleAdminPolicy",
        "vault-role-any-address": "keylease.audit.rules.vault_role_any_address:VaultRoleAnyAddress",
        "vault-role-any-ref": "keylease.audit.rules.vault_role_any_ref:VaultRoleAnyRef",
        "vault-role-any-repository": "keylease.audit.rules.vault_role_any_repository:VaultRoleAnyRepository",
        "vault-role-long-token": "keylease.audit.rules.vault_role_long_token:VaultRoleLongToken",
        "vault-role-no-audience": "keylease.audit.rules.vault_role_no_audience:VaultRoleNoAudience",
        "vault-role-pull-request": "keylease.audit.rules.vault_role_pull_request:VaultRolePullRequest",
        "vault-role-untraceable": "keylease.audit.rules.vault_role_untraceable:VaultRoleUntraceable",
        "vault-role-user-claim": "keylease.audit.rules.vault_role_user_claim:VaultRoleUserClaim",
        "vault-role-wildcard": "keylease.audit.rules.vault_role_wildcard:VaultRoleWildcard",
        "azure-federation-pull-request": "keylease.audit.rules.azure_federation_pull_request:FederationPullRequest",
        "azure-federation-renamable-name": "keylease.audit.rules.azure_federation_renamable_name:AzureRenamableName",
        "azure-flexible-wildcard": "keylease.audit.rules.azure_flexible_wildcard:AzureFlexibleWildcard",
        "azure-secret-beside-federation": "keylease.audit.rules.azure_secret_beside_federation:SecretBesideFederation",
        "azure-strong-role": "keylease.audit.rules.azure_strong_role:AzureStrongRole",
        "vault-no-audit": "keylease.audit.rules.vault_no_audit:VaultNoAudit",
        "vault-root-token": "keylease.audit.rules.vault_root_token:VaultRootToken",
        "vault-secret-id-unlimited": "keylease.audit.rules.vault_secret_id_unlimited:VaultSecretIdUnlimited",
        "vault-static-role-rotation": "keylease.audit.rules.vault_static_role_rotation:VaultStaticRoleRotation",
        "vault-token-forever": "keylease.audit.rules.vault_token_forever:VaultTokenForever",
        "vault-audit-clear": "keylease.audit.rules.vault_audit_clear:VaultAuditClear",
        "dependabot-registry-exposed": "keylease.audit.rules.dependabot_registry_exposed:RegistryExposed",
        "kubernetes-secret-clear": "keylease.audit.rules.kubernetes_secret_clear:KubernetesSecretClear",
        "kubernetes-env-credential": "keylease.audit.rules.kubernetes_env_credential:KubernetesEnvCredential",
        "external-secrets-static-key": "keylease.audit.rules.external_secrets_static_key:SecretsStaticKey",
        "external-secrets-any-namespace": "keylease.audit.rules.external_secrets_any_namespace:SecretsAnyNamespace",
        "vault-injector-insecure": "keylease.audit.rules.vault_injector_insecure:VaultInjectorInsecure",
        "irsa-default-account": "keylease.audit.rules.irsa_default_account:IrsaDefaultAccount",
        "terraform-static-key": "keylease.audit.rules.terraform_static_key:TerraformStaticKey",
        "env-file": "keylease.audit.rules.env_file:EnvFile",
        "ai-admin-key-in-ci": "keylease.audit.rules.ai_admin_key_in_ci:AiAdminKeyInCi",
        "ai-federation-rule-broad": "keylease.audit.rules.ai_federation_rule_broad:AiFederationRuleBroad",
        "ai-federation-rule-open": "keylease.audit.rules.ai_federation_rule_open:AiFederationRuleOpen",
        "ai-key-all-permissions": "keylease.audit.rules.ai_key_all_permissions:AiKeyAllPermissions",
        "ai-key-of-user": "keylease.audit.rules.ai_key_of_user:AiKeyOfUser",
        "ai-key-owner-left": "keylease.audit.rules.ai_key_owner_left:AiKeyOwnerLeft",
        "ai-key-unscoped": "keylease.audit.rules.ai_key_unscoped:AiKeyUnscoped",
        "ai-personal-key-in-ci": "keylease.audit.rules.ai_personal_key_in_ci:AiPersonalKeyInCi",
        "ci-copy-outdated": "keylease.audit.rules.ci_copy_outdated:CiCopyOutdated",
        "huggingface-token-writes": "keylease.audit.rules.huggingface_token_writes:HuggingfaceTokenWrites",
        "job-static-key": "keylease.audit.rules.job_static_key:JobStaticKey",
        "imported-leak": "keylease.audit.rules.imported_leak:ImportedLeak",
        "leaked-secret": "keylease.audit.rules.leaked_secret:LeakedSecret",
    },
)
