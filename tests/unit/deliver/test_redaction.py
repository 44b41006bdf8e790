"""No credential in what is shown, whatever its form; words that are none stay."""

import pytest

from waybill.deliver.redaction import lines_to_hide, redacted

SESAME = "hunter2/Zm9v+b,a;r&z=="


@pytest.mark.parametrize(
    "text",
    [
        f"AWS_SECRET_ACCESS_KEY={SESAME}",
        f"POSTGRES_PASSWORD={SESAME} next",
        f"KC_BOOTSTRAP_ADMIN_PASSWORD: {SESAME}",
        f"client_secret={SESAME}",
        f"clientSecret: '{SESAME}'",
        f'{{"access_token":"{SESAME}","expires_in":60}}',
        f'{{\\"access_token\\":\\"{SESAME}\\"}}',
        f"{{'password': '{SESAME}'}}",
        f'password="two words {SESAME}"',
        f'secret="an \\" escaped {SESAME}"',
        f"Authorization: Bearer {SESAME}",
        f"authorization: Basic {SESAME}",
        f"{{'Authorization': 'Bearer {SESAME}', 'Host': 'here'}}",
        f"Authorization: AWS4-HMAC-SHA256 Credential=a/b, Signature={SESAME}",
        f"asked with bearer {SESAME}",
        f"https://user:{SESAME}@host/path",
        f"postgres://user:p@{SESAME}@host:5432/db",
        f"https://{SESAME.replace('/', '')}@host/path",
        f"GET https://s3/b/k?X-Amz-Signature={SESAME}",
        f"GET https://s3/b/k?X-Amz-Security-Token={SESAME}&X-Amz-Date=1",
        "the token eyJhbGciOiJSUzI1NiJ9.hunter2.Zm9v-bar is refused",
    ],
)
def test_credentials_are_hidden_as_a_whole(text: str) -> None:
    shown = redacted(text)
    assert "(hidden)" in shown
    for piece in ("hunter2", "Zm9v", "a;r", "z=="):
        assert piece not in shown


@pytest.mark.parametrize(
    "text",
    [
        "max_num_batched_tokens: 8192, 12 tokens a second",
        'MountVolume.SetUp failed for volume "keys": secret "w-hub" not found',
        "the bearer of this is known",
        "pulling http://registry.internal:5000/waybill@sha256:" + "a" * 64,
        "failed to reach https://host:8443/path",
    ],
)
def test_other_words_stay(text: str) -> None:
    assert redacted(text) == text


def test_known_secrets_are_hidden_line_by_line_and_the_longest_first() -> None:
    known = lines_to_hide("  first-line-of-it\nsecond line of it\nshort\n")
    assert known == {"first-line-of-it", "second line of it"}
    shown = redacted(
        "key first-line-of-it\n second line of it-more", {*known, "second line of it-more"}
    )
    assert shown == "key (hidden)\n (hidden)"
