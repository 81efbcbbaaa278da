"""Coverage-guided fuzzing: `make fuzz`. Not part of `make test`."""
