"""What our own rules hide in a support bundle, and that what is left can be read."""

import json
import re

import pytest

from waybill.deliver.installer.sources import document

HIDDEN = "***HIDDEN***"
RULES = [
    re.compile(rule["redactor"])
    for each in document("redactor")["spec"]["redactors"]
    for rule in each["removals"]["regex"]
]


def redacted(text: str) -> str:
    """As Troubleshoot does it: a match becomes its groups, and the one named mask is hidden."""
    for rule in RULES:
        masked = rule.groupindex["mask"]
        text = rule.sub(
            lambda found: "".join(
                HIDDEN if number == masked else part  # noqa: B023
                for number, part in enumerate(found.groups(), 1)
            ),
            text,
        )
    return text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Authorization: Bearer abcdef.ghij", f"Authorization: Bearer {HIDDEN}"),
        (
            "GET /b?X-Amz-Credential=abc%2F1&X-Amz-Signature=0f0f HTTP/1.1",
            f"GET /b?X-Amz-Credential={HIDDEN}&X-Amz-Signature={HIDDEN} HTTP/1.1",
        ),
        ("AWS_SECRET_ACCESS_KEY=abc next", f"AWS_SECRET_ACCESS_KEY={HIDDEN} next"),
        ("secretAccessKey: abc", f"secretAccessKey: {HIDDEN}"),
        ('{"accessKeyID": "abc"}', f'{{"accessKeyID": "{HIDDEN}"}}'),
        ("password: abc", f"password: {HIDDEN}"),
        (
            r'{"a": "{\"client_secret\": \"abc\"}"}',
            rf'{{"a": "{{\"client_secret\": \"{HIDDEN}\"}}"}}',
        ),
        ('{"MINIO_ROOT_PASSWORD": "a b, c"}', f'{{"MINIO_ROOT_PASSWORD": "{HIDDEN}"}}'),
    ],
)
def test_secrets_are_hidden_and_nothing_else(text: str, left: str) -> None:
    assert redacted(text) == left


@pytest.mark.parametrize(
    "spec",
    [
        {
            "valueFrom": {
                "secretKeyRef": {"name": "waybill-minio-root", "key": "MINIO_ROOT_PASSWORD"}
            }
        },
        {"automountServiceAccountToken": False, "imagePullSecrets": [{"name": "registry"}]},
        {
            "volumes": [
                {"secret": {"secretName": "waybill-oidc-gateway"}},
                {"serviceAccountToken": {}},
            ]
        },
        {"f:secretKeyRef": {}, "f:automountServiceAccountToken": {}},
    ],
)
def test_what_names_a_secret_stays(spec: object) -> None:
    """Checks of the bundle read objects after they are redacted, and say nothing if they cannot."""
    for text in (json.dumps(spec), json.dumps(spec, indent=2)):
        assert redacted(text) == text
