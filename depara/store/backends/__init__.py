"""Where files lie: local folders, fsspec file systems, S3."""
