"""Tests of depara/probes."""
