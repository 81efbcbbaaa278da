"""keylease.yml, the action's inputs and the command line, turned into one checked Plan."""
