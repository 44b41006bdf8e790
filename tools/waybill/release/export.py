"""A chain as files for an auditor, who has sha256sum and openssl and trusts none of our tools.

README.md              what it says, and the commands that check it
SHA256SUMS             of all files here
manifest.json          its SHA-256 is the revision's digest, its first 40 digits the commit
files.sha256           of the model's files, where the auditor has them
statements/N-KIND.json       an in-toto statement about that digest, as it was signed
statements/N-KIND.dsse       the envelope that it came in, by whose SHA-256 steps name it
statements/N-KIND.pae        the bytes that a signature is of: the statement with its type (DSSE)
statements/N-KIND.KEY.sig    a signature, by the id of the key; .crt its certificates, if any
keys/KEY.pub  keys/CAs.pem   the keys and authorities that the trust policies name
records/ENV/MODEL/HEX.json   a step of the history, named by its SHA-256; `newest` names the last
plans/HEX.json               a plan that steps and statements name, by its SHA-256
carried/HEX.json             a step on the other side of a gap, as a signed history tells it
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from textwrap import indent

from cryptography.exceptions import UnsupportedAlgorithm

from waybill import digest as digests
from waybill.errors import BadFile, BadValue
from waybill.manifest import Manifest, canonical
from waybill.release.chain import KINDS, Chain
from waybill.release.evidence import Evidence
from waybill.sign import certificates, keys
from waybill.sign.dsse import Envelope, Signature
from waybill.sign.predicates import History
from waybill.sign.trust import Anchor, Authority, Key
from waybill.store import layout

SUMS = "SHA256SUMS"
README = "README.md"
_KEY = 16
"""Hex digits of a key's id in names of files."""

_COMMANDS = r"""
## Check it

In this folder, with `sh`, `sha256sum`, `sed`, `grep`, `cmp` and `openssl` 3. Each block prints what
is wrong, and nothing else but lines that end with `OK` or say that a signature is verified, and
those that begin with `note:`: what these files alone cannot say, and is for you to judge.

Whoever can change this folder can change `SHA256SUMS` and these commands, too. Have one digest from
elsewhere: that of the newest step (see below), or of `SHA256SUMS` as it was when it was exported.

Every file is as it was exported, and the manifest is the one that is spoken of:

```sh
sha256sum --quiet -c SHA256SUMS
echo "DIGEST  manifest.json" | sha256sum -c
```

Every statement is about this manifest, and the signed bytes are those of the statement:

```sh
for said in statements/*.json; do
  tr -d ' \t\r\n' < "$said" |
    grep -Eq '"subject":\[\{[^][{}]*"digest":\{"sha256":"DIGEST"\}[^][{}]*\}\]' ||
    echo "of another model: $said"
  pae=${said%.json}.pae
  [ -e "$pae" ] || continue
  { printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$(wc -c < "$said")"; cat "$said"; } |
    cmp - "$pae" || echo "not what was signed: $said"
done
```

All statements are here, with the signatures that were exported. What nobody has signed, anybody may
have written:

```sh
number=1
while [ "$number" -le COUNT ]; do
  set -- statements/"$(printf %03d "$number")"-*.json
  [ -e "$1" ] || echo "left out: statement $number of COUNT"
  number=$((number + 1))
done
for said in statements/*.json; do
  [ -e "$said" ] || continue
  name=${said%.json}
  set -- "$name".*.sig
  case "$([ -e "$name.dsse" ] && echo dsse)$([ -e "$name.pae" ] && echo pae)$(
    [ -e "$1" ] && echo sig)" in
    dssepaesig) ;;
    '') echo "note: nobody has signed: $said" ;;
    *) echo "envelope, signed bytes or signature is missing: $said" ;;
  esac
done
```

Every signature is that of its key. Whose key it is, says its owner: compare `keys/` with what you
have from there, by `openssl pkey -pubin -in KEY.pub -outform DER | sha256sum`.

```sh
for sig in statements/*.sig; do
  [ -e "$sig" ] || continue
  name=${sig%.sig}
  key=keys/${name##*.}.pub
  if [ -e "$key" ]; then
    openssl pkeyutl -verify -pubin -inkey "$key" -rawin -in "${name%.*}.pae" -sigfile "$sig" ||
      echo "wrong signature: $sig"
  else
    echo "by a key that no trust policy names: $sig"
  fi
done
for crt in statements/*.crt; do
  [ -e "$crt" ] || continue
  name=${crt%.crt}
  openssl x509 -in "$crt" -noout -pubkey | cmp - "keys/${name##*.}.pub" || echo "other key: $crt"
  openssl verify -no_check_time -CAfile keys/CAs.pem -purpose any -untrusted "$crt" "$crt" ||
    echo "not by these authorities: $crt"
done
```

Every step names the one before it by its SHA-256, from the newest to the first:

```sh
for newest in records/*/*/newest; do
  [ -e "$newest" ] || continue
  folder=${newest%/newest}
  step=$(cat "$newest")
  steps=
  while [ -n "$step" ]; do
    echo "$step  $folder/$step.json" | sha256sum --quiet -c || break
    steps="$steps $step"
    step=$(sed -nE 's/.*"previous":"sha256:([0-9a-f]{64})".*/\1/p' "$folder/$step.json")
  done
  for step in "$folder"/*.json; do
    named=${step##*/}
    case "$steps " in *" ${named%.json} "*) ;; *) echo "not behind the newest step: $step" ;; esac
  done
done
```

That leads back from the newest step, and cannot say whether it is the newest: steps at the end may
have been left out, or put on top. Compare it with what the ref in the store holds (`REF` and
below it `pins/ENV.MODEL.stable`), or with the `digest` of the first step that `waybill evidence
MODEL --json` names for that environment; have that from somebody else than this folder:

```sh
for newest in records/*/*/newest; do
  [ -e "$newest" ] || continue
  echo "note: compare with the store: ${newest%/newest} ends with sha256:$(cat "$newest")"
done
```

What signed histories tell of the steps of an environment is in its records, and what is in
`carried/` is told by one of them:

```sh
for step in carried/*.json; do
  [ -e "$step" ] || continue
  told=
  for said in statements/*-history.json; do
    [ ! -e "${said%.json}.pae" ] || ! grep -qF -f "$step" "$said" || told=yes
  done
  [ -n "$told" ] || echo "in no signed history: $step"
done
for folder in records/*/*; do
  [ -e "$folder/newest" ] || continue
  ref=$(echo "${folder#records/}" | tr / .)
  lost=
  parted=
  for step in carried/*.json; do
    [ -e "$step" ] && grep -qF "\"ref\":\"pins/$ref.stable\"" "$step" || continue
    [ ! -e "$folder/${step##*/}" ] || continue
    lost="$lost $step"
    plan=$(grep -oE '"plan":"sha256:[0-9a-f]{64}"' "$step")
    [ -z "$plan" ] || ! grep -qF "$plan" "$folder"/*.json || parted=yes
  done
  [ -z "$lost" ] || if [ -n "$parted" ]; then
    echo "note: $folder went its own way, and names a plan of the other side:$lost"
  else
    echo "not in $folder, and a signed history tells of it:$lost"
  fi
done
```

What steps to this revision, statements and plans name is here. (What other steps name is in the
export of the revision that they are to.) A store that was pruned may have lost some of it. A plan
for an environment whose steps to this revision are not in `records/` may as well never have come
here, where its promotion was made on the other side of a gap; that is a note:

```sh
here() { grep -q "^$1 " SHA256SUMS || echo "$3not here: sha256:$1, which $2 names$4"; }
for step in records/*/*/*.json; do
  [ -e "$step" ] && grep -q '"commit":"COMMIT"' "$step" || continue
  for named in $(grep -oE '"(plan":"sha256:[0-9a-f]{64}"|evidence":\[[^]]*\])' "$step" |
      grep -oE '[0-9a-f]{64}'); do here "$named" "$step"; done
done
for said in statements/*-plan.json statements/*-approval.json statements/*-promotion.json; do
  [ -e "$said" ] || continue
  for named in $(sed -nE 's/.*"plan":"sha256:([0-9a-f]{64})".*/\1/p' "$said"); do
    to=$(sed -nE 's/.*"to":"([^"\\]+)".*/\1/p' "$said")
    if grep -qsF '"commit":"COMMIT"' "records/$to"/*/*.json; then
      here "$named" "$said"
    else
      here "$named" "$said" "note: " ": it was pruned, or stayed on the other side of a gap"
    fi
  done
done
for plan in plans/*.json; do
  [ -e "$plan" ] || continue
  grep -oE '"from":"sha256:[0-9a-f]{64}"' "$plan" | grep -oE '[0-9a-f]{64}' | {
    while read -r named; do
      ! grep -Eq "^$named  (records|carried)/" SHA256SUMS || exit 0
    done
    echo "made from no step that is here: $plan"
  }
done
```

The files of the model, where you have them: in their folder, `sha256sum -c …/files.sha256`.
"""


def write(chain: Chain, out: Path, told: str) -> list[str]:
    """Into a folder that is new or empty; `told` is the chain in words. The names of the files.

    Raises BadValue for a folder with something in it, BadFile where it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise BadValue(what="--out", value=str(out), why="there is something in it already")
        files = dict(_files(chain, told))
        sums = "".join(
            f"{digests.hex_of(digests.of(files[one]))}  {one}\n" for one in sorted(files)
        )
        for name, data in {**files, SUMS: sums.encode()}.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as error:
        why = f"it cannot be written ({error.strerror})"
        raise BadFile(path=error.filename or out, why=why) from error
    return [*sorted(files), SUMS]


def _files(chain: Chain, told: str) -> Iterator[tuple[str, bytes]]:
    yield "manifest.json", chain.manifest.data
    yield "files.sha256", _sums(chain.manifest)
    anchors = _anchors(chain)
    yield from _keys(anchors)
    for number, (one, _) in enumerate(chain.evidence, 1):
        kind = KINDS.get(one.predicate_type, "other")
        yield from _statement(f"statements/{number:03}-{kind}", one, anchors)
    yield from _records(chain)
    yield from _plans(chain)
    yield from _carried(chain)
    yield README, _readme(chain, told)


def _sums(manifest: Manifest) -> bytes:
    """As `sha256sum` writes it, with its escapes."""
    lines = []
    for file in manifest.files:
        path = file.path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        mark = "\\" if path != file.path else ""
        lines.append(f"{mark}{digests.hex_of(file.digest)}  {path}\n")
    return "".join(lines).encode()


def _anchors(chain: Chain) -> list[Anchor]:
    policies = [place.policy for place in chain.places if place.policy]
    return [anchor for policy in policies for anchor in policy.keys.values()]


def _keys(anchors: Sequence[Anchor]) -> Iterator[tuple[str, bytes]]:
    for anchor in anchors:
        if isinstance(anchor, Key):
            yield f"keys/{keys.key_id(anchor.public)[:_KEY]}.pub", keys.pem(anchor.public)
    authorities = [one.authorities for one in anchors if isinstance(one, Authority)]
    if authorities:
        yield "keys/CAs.pem", b"".join(map(certificates.pem, dict.fromkeys(authorities)))


def _statement(base: str, one: Evidence, anchors: Sequence[Anchor]) -> Iterator[tuple[str, bytes]]:
    if not one.signed:
        yield f"{base}.json", one.data
        return
    envelope = Envelope.parse(one.data, one.digest)
    yield f"{base}.json", envelope.payload
    yield f"{base}.dsse", one.data
    yield f"{base}.pae", envelope.signed
    for signature in envelope.signatures:
        if signature.chain:
            yield from _certified(base, signature)
        else:
            key_id = _key_id(envelope, signature, anchors)
            yield f"{base}.{key_id}.sig", signature.value


def _key_id(envelope: Envelope, signature: Signature, anchors: Sequence[Anchor]) -> str:
    """Of the key that it is by, where one is known; else what it says itself, without signs that
    are none of an id."""
    for anchor in anchors:
        if isinstance(anchor, Key) and anchor.objection(envelope.signed, signature, None) is None:
            return keys.key_id(anchor.public)[:_KEY]
    return re.sub("[^0-9a-f]", "", signature.key_id)[:_KEY] or "unknown"


def _certified(base: str, signature: Signature) -> Iterator[tuple[str, bytes]]:
    """Named by the key of the first certificate; one of a kind that we know not is left out."""
    with suppress(ValueError, UnsupportedAlgorithm):
        key = keys.usable(signature.chain[0].public_key())
        key_id = keys.key_id(key)[:_KEY]
        yield f"{base}.{key_id}.sig", signature.value
        yield f"{base}.{key_id}.crt", certificates.pem(signature.chain)
        yield f"keys/{key_id}.pub", keys.pem(key)


def _records(chain: Chain) -> Iterator[tuple[str, bytes]]:
    for place in chain.places:
        for model, heads in place.records.items():
            folder = f"records/{place.name}/{model}"
            yield f"{folder}/newest", f"{digests.hex_of(heads[0].digest)}\n".encode()
            for head in heads:
                yield f"{folder}/{digests.hex_of(head.digest)}.json", head.record.data


def _plans(chain: Chain) -> Iterator[tuple[str, bytes]]:
    told = (canonical(one.agreed) for one in _histories(chain))
    kept = (data for place in chain.places for data in place.plans.values())
    for data in (*told, *kept):
        yield f"plans/{digests.hex_of(digests.of(data))}.json", data


def _carried(chain: Chain) -> Iterator[tuple[str, bytes]]:
    for one in _histories(chain):
        for data in map(canonical, (*one.records, *one.before)):
            yield f"carried/{digests.hex_of(digests.of(data))}.json", data


def _histories(chain: Chain) -> Iterator[History]:
    for one, _ in chain.evidence:
        if isinstance(one.parsed, History):
            yield one.parsed


def _readme(chain: Chain, told: str) -> bytes:
    # Indented, not fenced: it has words of others, and what is in fences here is to be run.
    head = f"# {chain.repo} at {chain.manifest.commit}\n\n{indent(told, '    ')}\n"
    digest = digests.hex_of(chain.manifest.descriptor.digest)
    facts = {
        "DIGEST": digest,
        "COMMIT": chain.manifest.commit,
        "COUNT": str(len(chain.evidence)),
        "REF": layout.refs(chain.repo),
    }
    return (head + re.sub("|".join(facts), lambda each: facts[each[0]], _COMMANDS)).encode()
