"""A trust policy: whom it believes, whom it does not, and what it says of them."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sign.making import (
    CODE,
    DAY,
    NOW,
    WEB_SERVER,
    Authority,
    asking_authority,
    certificate_pem,
    certified,
    changed,
    manifest,
    policy_file,
    public_pem,
    said,
    signer,
)
from waybill.errors import BadFile, Unsigned, UntrustedSignature
from waybill.manifest import Manifest, statement
from waybill.sign import dsse
from waybill.sign.keys import Signer
from waybill.sign.trust import SHOWN, Policy

PEM = public_pem(signer().private)
ALLOW: dict[str, Any] = {"unsigned": "allow"}
OURS = manifest()


def trusting(folder: Path, made: Signer, unsigned: str = "refuse", **more: Any) -> Policy:
    given = {
        "keys": {"release": {"publicKey": public_pem(made.private)}},
        "repos": {"acme/*": {"signedBy": ["release"], "unsigned": unsigned}},
        "default": ALLOW,
        **more,
    }
    return Policy.load(policy_file(folder / "trust.yaml", **given))


def of_authority(folder: Path, authority: Authority, **more: str) -> Policy:
    return Policy.load(asking_authority(folder / "trust.yaml", authority, **more))


def check(policy: Policy, *envelopes: bytes, of: Manifest = OURS, repo: str = "Acme/Demo") -> None:
    policy.check(repo, of.descriptor.digest, envelopes, NOW)


def refusal(policy: Policy, *envelopes: bytes, of: Manifest = OURS) -> str:
    with pytest.raises(UntrustedSignature) as caught:
        check(policy, *envelopes, of=of)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
def test_a_trusted_key_is_believed(kind: str, tmp_path: Path) -> None:
    made = signer(kind)
    check(trusting(tmp_path, made), dsse.sign(said(OURS), made))


def test_nothing_is_unsigned_and_says_whose_signature_is_missing(tmp_path: Path) -> None:
    made = signer()
    policy = trusting(tmp_path, made)
    with pytest.raises(Unsigned) as caught:
        check(policy)
    assert str(caught.value) == (
        f"Acme/Demo at {OURS.descriptor.digest} is not signed, and {tmp_path}/trust.yaml asks for "
        f"a signature by release (key {made.key_id[:SHOWN]})"
    )
    assert (caught.value.exit_code, caught.value.status) == (3, 403)


def test_an_unknown_key_is_named_beside_the_trusted_one(tmp_path: Path) -> None:
    made, other = signer(), signer()
    told = refusal(trusting(tmp_path, made), dsse.sign(said(OURS), other))
    assert f"key {other.key_id[:SHOWN]} is not trusted" in told
    assert f"asks for one by release (key {made.key_id[:SHOWN]})" in told


def test_a_key_id_decides_nothing(tmp_path: Path) -> None:
    made, other = signer(), signer()
    policy = trusting(tmp_path, made)
    envelope = json.loads(dsse.sign(said(OURS), made))
    for name in ("", other.key_id):
        envelope["signatures"][0]["keyid"] = name
        check(policy, json.dumps(envelope).encode())
    forged = json.loads(dsse.sign(said(OURS), other))
    forged["signatures"][0]["keyid"] = made.key_id
    assert "release: the signature is not of these bytes" in refusal(
        policy, json.dumps(forged).encode()
    )


def test_one_good_signature_among_others_is_enough(tmp_path: Path) -> None:
    made, other = signer(), signer("p256")
    mixed = [b"junk", dsse.sign(said(OURS), other), dsse.sign(said(OURS), made)]
    check(trusting(tmp_path, made), *mixed)


def test_a_changed_payload_is_not_believed(tmp_path: Path) -> None:
    made = signer()
    envelope = dsse.sign(said(OURS), made)
    payload = base64.b64encode(said(OURS).replace(b'"here"', b'"else"')).decode()
    told = refusal(trusting(tmp_path, made), changed(envelope, payload=payload))
    assert "release: the signature is not of these bytes" in told


def test_the_signature_of_another_revision_is_none_of_this_one(tmp_path: Path) -> None:
    made, other = signer(), manifest(b"other weights")
    with pytest.raises(Unsigned):
        check(trusting(tmp_path, made), dsse.sign(said(other), made))


def test_a_statement_of_another_kind_does_not_let_a_model_in(tmp_path: Path) -> None:
    made = signer()
    bad = statement(OURS, "https://in-toto.io/attestation/test-result/v0.1", {"result": "FAILED"})
    with pytest.raises(Unsigned):
        check(trusting(tmp_path, made), dsse.sign(bad, made))


def test_bytes_signed_as_something_else_are_not_believed(tmp_path: Path) -> None:
    made = signer()
    envelope = json.loads(dsse.sign(said(OURS), made))
    for encoding in (said(OURS), dsse.encoded(said(OURS), "text/plain")):
        envelope["signatures"][0]["sig"] = base64.b64encode(made.sign(encoding)).decode()
        refusal(trusting(tmp_path, made), json.dumps(envelope).encode())


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_flipped_bit_makes_another_statement_believed(at: int, bit: int) -> None:
    made = FIXED
    envelope = bytearray(dsse.sign(said(OURS), made))
    envelope[at % len(envelope)] ^= 1 << bit
    policy = FIXED_POLICY
    try:
        check(policy, bytes(envelope))
    except (Unsigned, UntrustedSignature):
        return
    kept = dsse.Envelope.parse(bytes(envelope), "here")
    assert kept.payload == said(OURS)


def test_a_removed_key_is_trusted_no_longer(tmp_path: Path) -> None:
    old, new = signer(), signer()
    envelope = dsse.sign(said(OURS), old)
    check(trusting(tmp_path, old), envelope)
    policy = trusting(tmp_path, new)
    refusal(policy, envelope)
    check(policy, envelope, dsse.sign(said(OURS), new))


def test_where_unsigned_is_allowed_what_is_signed_must_be_signed_right(tmp_path: Path) -> None:
    made = signer()
    policy = trusting(tmp_path, made, unsigned="allow")
    check(policy)
    check(policy, dsse.sign(said(OURS), made))
    refusal(policy, dsse.sign(said(OURS), signer()))


def test_where_nobody_is_named_nothing_is_looked_at(tmp_path: Path) -> None:
    policy = trusting(tmp_path, signer())
    assert policy.asks("ACME/x")
    assert not policy.asks("other/x")
    check(policy, dsse.sign(said(OURS), signer()), repo="other/x")


def test_the_longest_pattern_decides_and_equal_ones_all_do(tmp_path: Path) -> None:
    keys = {name: signer() for name in ("all", "chat", "left", "right")}
    policy = Policy.load(
        policy_file(
            tmp_path / "trust.yaml",
            keys={name: {"publicKey": public_pem(one.private)} for name, one in keys.items()},
            repos={
                "*/*": {"signedBy": ["all"], "unsigned": "refuse"},
                "Acme/chat-*": {"signedBy": ["chat"], "unsigned": "refuse"},
                "b/le*": {"signedBy": ["left"], "unsigned": "refuse"},
                "b/*ft": {"signedBy": ["right"], "unsigned": "refuse"},
                "acme/free": ALLOW,
            },
            default=ALLOW,
        )
    )
    signed = {name: dsse.sign(said(OURS), one) for name, one in keys.items()}
    check(policy, signed["all"], repo="acme/demo")
    check(policy, signed["chat"], repo="ACME/Chat-7B")
    check(policy, repo="acme/free")
    with pytest.raises(UntrustedSignature):
        check(policy, signed["all"], repo="acme/chat-7b")
    for alone in ("left", "right"):
        with pytest.raises(UntrustedSignature):
            check(policy, signed[alone], repo="b/left")
    check(policy, signed["left"], signed["right"], repo="b/left")


def test_a_certificate_of_the_ca_is_believed_for_its_subject(tmp_path: Path) -> None:
    authority = Authority()
    policy = of_authority(tmp_path, authority)
    check(policy, dsse.sign(said(OURS), certified(authority)))
    check(policy, dsse.sign(said(OURS), certified(authority, extended=CODE)))
    told = refusal(policy, dsse.sign(said(OURS), certified(authority, "web server")))
    assert "CN=web server is not trusted" in told
    assert "asks for one by company (CN=model release)" in told


def test_a_certificate_comes_with_those_between_it_and_the_ca(tmp_path: Path) -> None:
    root = Authority("Root")
    below = Authority("Below", above=root)
    alone = certified(below)
    full = Signer(alone.private, (*alone.chain, below.certificate))
    policy = of_authority(tmp_path, root)
    check(policy, dsse.sign(said(OURS), full))
    assert "does not lead to the CA" in refusal(policy, dsse.sign(said(OURS), alone))


def test_a_signer_is_no_ca(tmp_path: Path) -> None:
    root = Authority()
    middle = certified(root)
    fake = Authority("fake")
    fake.key, fake.certificate = middle.private, middle.chain[0]
    forged = certified(fake)
    chained = Signer(forged.private, (*forged.chain, *middle.chain))
    told = refusal(of_authority(tmp_path, root), dsse.sign(said(OURS), chained))
    assert "does not lead to the CA" in told


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another key usage": ({"signing": False}, "is not for digital signatures"),
    "a web server's": ({"extended": WEB_SERVER}, "is not for signing code"),
    "ended": ({"since": NOW - 9 * DAY, "until": NOW - DAY}, "is good from"),
    "not begun": ({"since": NOW + DAY}, "is good from"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_certificate_that_may_not_sign_is_refused(what: str, tmp_path: Path) -> None:
    options, told = WRONG[what]
    authority = Authority()
    made = certified(authority, **options)
    found = refusal(of_authority(tmp_path, authority), dsse.sign(said(OURS), made))
    assert f"CN=model release: its certificate {told}" in found


def test_a_certificate_that_ended_counts_where_the_model_is_already(tmp_path: Path) -> None:
    authority = Authority()
    made = certified(authority, since=NOW - DAY / 2, until=NOW - DAY / 4)
    policy = of_authority(tmp_path, authority)
    envelope = dsse.sign(said(OURS), made)
    policy.check("acme/demo", OURS.descriptor.digest, [envelope], None)
    stranger = certified(Authority())
    with pytest.raises(UntrustedSignature):
        policy.check("a/b", OURS.descriptor.digest, [dsse.sign(said(OURS), stranger)], None)


def test_a_certificate_of_the_same_name_from_another_ca_is_refused(tmp_path: Path) -> None:
    policy = of_authority(tmp_path, Authority())
    assert "does not lead to the CA" in refusal(
        policy, dsse.sign(said(OURS), certified(Authority()))
    )


def test_a_stolen_certificate_signs_nothing(tmp_path: Path) -> None:
    authority = Authority()
    thief = Signer(signer("p256").private, certified(authority).chain)
    told = refusal(of_authority(tmp_path, authority), dsse.sign(said(OURS), thief))
    assert "CN=model release: the signature is not of these bytes" in told


def test_what_the_ca_has_revoked_counts_at_no_time(tmp_path: Path) -> None:
    authority = Authority()
    stolen, good = certified(authority), certified(authority)
    listed = authority.revoke(*stolen.chain, *certified(authority, "another").chain)
    policy = of_authority(tmp_path, authority, revocationList=listed)
    check(policy, dsse.sign(said(OURS), good))
    envelope = dsse.sign(said(OURS), stolen)
    told = f"CN=model release: CN=model release was revoked on {NOW - 9 * DAY:%Y-%m-%d}"
    assert told in refusal(policy, envelope)
    with pytest.raises(UntrustedSignature):
        policy.check("acme/demo", OURS.descriptor.digest, [envelope], None)
    check(of_authority(tmp_path, authority), envelope)


def test_each_ca_of_a_chain_may_have_a_list(tmp_path: Path) -> None:
    root = Authority("Root")
    below = Authority("Below", above=root)
    alone = certified(below)
    full = dsse.sign(said(OURS), Signer(alone.private, (*alone.chain, below.certificate)))
    nothing = root.revoke() + below.revoke()
    check(of_authority(tmp_path, root, revocationList=nothing), full)
    for name, lists in {
        "CN=Below": below.revoke() + root.revoke(below.certificate),
        "CN=model release": root.revoke() + below.revoke(*alone.chain),
    }.items():
        told = refusal(of_authority(tmp_path, root, revocationList=lists), full)
        assert f"{name} was revoked on " in told


def test_a_list_that_another_ca_of_that_name_made_is_not_believed(tmp_path: Path) -> None:
    authority = Authority()
    policy = of_authority(tmp_path, authority, revocationList=Authority().revoke())
    told = refusal(policy, dsse.sign(said(OURS), certified(authority)))
    assert "the revocation list of CN=Test CA was not signed by it" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("junk", "keys.company: it is not a revocation list in PEM"),
        (PEM, "keys.company: it is not a revocation list in PEM"),
        (Authority().revoke(delta=True), "keys.company: it is a delta or an indirect revocation"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=told):
        of_authority(tmp_path, Authority(), revocationList=text)


def test_the_example_in_the_guide_is_a_policy(tmp_path: Path) -> None:
    guide = Path(__file__).parents[3] / "tools/docs/signing.md"
    text = guide.read_text().partition("```yaml\n")[2].partition("```")[0]
    made, authority = signer(), Authority()
    for kind, pem in (
        ("PUBLIC KEY", public_pem(made.private)),
        ("CERTIFICATE", certificate_pem(authority.certificate)),
    ):
        begin, end = (text.index(f"-----{word} {kind}-----") for word in ("BEGIN", "END"))
        body = pem.strip().replace("\n", "\n      ")
        text = text[:begin] + body + text[end + len(f"-----END {kind}-----") :]
    (tmp_path / "trust.yaml").write_text(text)
    policy = Policy.load(tmp_path / "trust.yaml")
    check(policy, dsse.sign(said(OURS), made))
    check(policy, repo="acme/playground")
    with pytest.raises(Unsigned, match=r"release .* or company \(CN=model release,O=Acme\)"):
        check(policy)


RULE = {"signedBy": ["a"], "unsigned": "refuse"}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "the key 'default' is missing"),
    "no default": ({"keys": {}}, "it: the key 'default' is missing"),
    "no word on unsigned": ({"default": {"signedBy": []}}, "default: the key 'unsigned'"),
    "a slip": ({"default": ALLOW, "repo": {}}, "the key 'repo' is not known"),
    "a word": ({"default": {"unsigned": "yes"}}, "default.unsigned: 'yes' is not one of"),
    "no names": ({"default": {"unsigned": "refuse"}}, "default: what refuses unsigned models"),
    "a name": ({"default": RULE}, "default.signedBy: keys has no 'a'"),
    "names": ({"default": {**ALLOW, "signedBy": "a"}}, "default.signedBy: 'a' is not a list"),
    "no key": ({"default": ALLOW, "keys": {"a": {"publicKey": "x"}}}, "keys.a: it is not a public"),
    "half": ({"default": ALLOW, "keys": {"a": {}}}, "keys.a: it needs publicKey, or"),
    "both": (
        {"default": ALLOW, "keys": {"a": {"publicKey": PEM, "certificateAuthority": PEM}}},
        "keys.a: it needs publicKey, or",
    ),
    "anybody": (
        {"default": ALLOW, "keys": {"a": {"certificateAuthority": PEM}}},
        "keys.a: it needs publicKey, or",
    ),
    "no CA": (
        {"default": ALLOW, "keys": {"a": {"certificateAuthority": PEM, "subjects": ["CN=x"]}}},
        "keys.a: it is not a certificate in PEM",
    ),
    "a list of a key": (
        {"default": ALLOW, "keys": {"a": {"publicKey": PEM, "revocationList": PEM}}},
        "keys.a: it needs publicKey, or",
    ),
    "a bare name": ({"default": ALLOW, "repos": {"demo": ALLOW}}, "owner/name"),
    "twice": ({"default": ALLOW, "repos": {"a/b": ALLOW, "A/b": ALLOW}}, "stands there twice"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_policy_that_says_nothing_clear_is_refused(what: str, tmp_path: Path) -> None:
    content, told = BAD[what]
    path = policy_file(tmp_path / "trust.yaml", **content)
    with pytest.raises(BadFile) as caught:
        Policy.load(path)
    assert str(caught.value).startswith(f"{path} cannot be used: ")
    assert told in str(caught.value)


FIXED = signer()
FIXED_POLICY = Policy._of(
    "trust.yaml",
    {"keys": {"a": {"publicKey": public_pem(FIXED.private)}}, "default": RULE},
)
