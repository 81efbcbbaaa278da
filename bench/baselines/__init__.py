"""Programs that do the same job, to be measured beside ours."""
