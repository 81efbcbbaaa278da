"""A credential in clear in GitLab's CI file."""

from keylease.audit.clear import FIRST, ClearSecret

_KEY = "AKIA" + "Q3EGVS7XJWMN5RTD"  # in two parts, or scanners of this repository report it
_TOKEN = "glpat-" + "9fKq2LxVb7TzWm4RcYpD"


class GitlabClearSecret(ClearSecret):
    """Only exact forms of vendors: a long word is no secret."""

    id = "gitlab-clear-secret"
    title = "a credential in clear in GitLab's CI file"
    needs = ("file.gitlab_ci",)
    links = ("https://docs.gitlab.com/ci/variables/#cicd-variable-security",)
    sample = ".gitlab-ci.yml"
    bad = (
        f"""\
variables:
  AWS_ACCESS_KEY_ID: {_KEY}
deploy:
  script: [./deploy]
""",
        f"""\
clone:
  script:
    - git clone https://ci:{_TOKEN}@gitlab.example.com/acme/other.git
""",
    )
    good = (
        """\
variables:
  AWS_ACCESS_KEY_ID: $CI_AWS_KEY
  EXAMPLE:
    value: AKIAIOSFODNN7EXAMPLE
    description: glpat-xxxxxxxxxxxxxxxxxxxx
  IMAGE: registry.example.com/acme/app@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
deploy:
  id_tokens:
    TOKEN: {aud: https://vault.example.com}
  script:
    - git clone https://gitlab-ci-token:${CI_JOB_TOKEN}@gitlab.example.com/acme/other.git
""",
    )

    def instead(self) -> str:
        """Keylease's place, or a variable's."""
        return (
            f"{FIRST}; then lease one with Keylease, or make it a masked, protected, hidden variable of the project"
            "\n\nid_tokens:\n  KEYLEASE_ID_TOKEN:\n    aud: https://VAULT_ADDRESS"
        )
