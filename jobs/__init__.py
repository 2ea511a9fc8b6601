"""The entry points that are submitted: config in, exit code out."""
