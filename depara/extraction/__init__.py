"""The graphs of one model, from its opening to their commit: what scans and queries share."""
