"""The only part that writes to the CI platform: variables, outputs, files, summaries, state, the log."""
