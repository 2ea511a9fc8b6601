"""No credential stays in a text."""

from __future__ import annotations

import pytest

from depara.redaction import redact

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    "name",
    [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_ACCESS_KEY_ID",
        "FSSPEC_S3_SECRET",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_CONNECTION_STRING",
        "HF_TOKEN",
        "DB_PASSWORD",
    ],
)
def test_values_of_the_environment_are_taken_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, SECRET)
    text = f"failed with {SECRET}, also as wJalrXUtnFEMI%2FK7MDENG%2BbPxRfiCYEXAMPLEKEY."
    assert redact(text) == "failed with ***, also as ***."


def test_settings_of_fsspec_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec.config

    monkeypatch.setitem(fsspec.config.conf, "s3", {"key": "a-key-of-mine", "secret": SECRET})
    assert redact(f"a-key-of-mine:{SECRET}") == "***:***"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://user:p@ss:word@host:9000/bucket x", "http://***@host:9000/bucket x"),
        ('endpoint URL: "https://key@host"', 'endpoint URL: "https://***@host"'),
        ("s3://bucket/mail@example.org/x", "s3://bucket/mail@example.org/x"),
        ("id AKIAIOSFODNN7EXAMPLE ends", "id *** ends"),
        (
            "https://b.s3.amazonaws.com/k?X-Amz-Credential=me%2F2026&X-Amz-Signature=ab12&x=1",
            "https://b.s3.amazonaws.com/k?X-Amz-Credential=***&X-Amz-Signature=***&x=1",
        ),
        ("?sv=2024&sig=abc%3D&se=1", "?sv=2024&sig=***&se=1"),
        (
            "cannot write /out/graphs/ab: No space left",
            "cannot write /out/graphs/ab: No space left",
        ),
    ],
)
def test_what_looks_like_a_credential_is_taken_out(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_short_words_are_not_taken_for_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    assert redact("s3://zoo-test/out") == "s3://zoo-test/out"
