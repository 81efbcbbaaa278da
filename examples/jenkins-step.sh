#!/bin/sh
# A shell step with the values in the environment of all of its commands, for Jenkins' "Execute shell" and its like.
# Prefer `keylease exec -- ./deploy.sh` where one command needs them: its output is masked, here it is not.
#
# Needs: keylease on PATH, VAULT_ADDR, keylease.yml, and KEYLEASE_ID_TOKEN_FILE or KEYLEASE_ID_TOKEN.

# Jenkins starts steps with -x, which would print the values as they are set.
set +x -eu

# An abort comes as SIGTERM; a shell runs its EXIT trap only if it exits by itself.
trap 'keylease revoke' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# Two steps: `eval "$(keylease lease)"` would go on without the values when keylease fails.
exports="$(keylease lease --config keylease.yml --format shell)"
eval "$exports"
unset exports

./deploy.sh
