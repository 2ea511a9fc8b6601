"""Worked examples, each run from the root of the checkout."""
