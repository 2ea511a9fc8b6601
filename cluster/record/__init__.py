"""What is kept of a scan: its history, lease, notes, manifest and summary."""
