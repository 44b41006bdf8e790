"""The directories that a bundle is packed into, one a medium."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote

from waybill.bundle.cut import PartPlan
from waybill.bundle.format import (
    CERTIFICATES,
    INDEX,
    README,
    SIGNATURE,
    SUMS,
    Index,
    Part,
    part_name,
)
from waybill.bundle.journal import Journal, write_whole
from waybill.bundle.stack import Stack
from waybill.bundle.writer import PARTIAL
from waybill.digest import Digest, hex_of
from waybill.errors import BadValue, ForeignBundle, MediaFull
from waybill.sign.keys import Signer
from waybill.source.images import Image

_RESERVE = 16_000_000
"""Bytes kept free on each medium for the index, sums, README and the file system itself."""
_OFFSET = "0000" + "?" * 16
"""A shell pattern for 20 digits, up to ten petabytes."""


def look(journals: Sequence[Journal], plans: Sequence[PartPlan | Part]) -> None:
    """Find out which parts are finished; the first journal is the one that counts.

    Raises ForeignBundle where another packing has left something. Changes nothing.
    """
    for journal in journals:
        others = (journal.folder / INDEX).exists() or _parts(journal.folder)
        if others and not journal.ours:
            raise ForeignBundle(where=journal.folder)
    sizes = {part_name(plan.number): plan.size for plan in plans}
    found = [path for journal in journals for path in _parts(journal.folder)]
    journals[0].keep_only({one.name for one in found if one.stat().st_size == sizes.get(one.name)})


def require_seal(outs: Sequence[Path], signer: Signer | None) -> None:
    """Raises BadValue where a bundle that is signed would lose its signature."""
    sealed = [out for out in outs if _is_sealed(out)]
    if sealed and signer is None:
        why = f"the bundle in {sealed[0]} is signed, and its new index has to be signed, too"
        raise BadValue(what="--key", value="", why=why)


def _is_sealed(out: Path) -> bool:
    return (out / INDEX).is_file() and (out / SIGNATURE).is_file()


def _holds(out: Path, index: Index) -> bool:
    return (out / INDEX).read_bytes() == index.data


def take(journals: Sequence[Journal]) -> None:
    """Make the directories ours: what is not finished by the first journal goes."""
    finished = {part_name(number) for number in journals[0].parts}
    for journal in journals:
        for path in journal.folder.glob(f"part-*.tar{PARTIAL}"):
            path.unlink()
        for path in _parts(journal.folder):
            if path.name not in finished:
                path.unlink()
        journal.save()


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.tar"))


def assign(outs: Sequence[Path], parts: Sequence[tuple[int, int]]) -> dict[int, Path]:
    """Part number -> directory, filling each in turn. Raises MediaFull when they do not fit."""
    devices = {out: _device(out) for out in outs}
    free = {device: _free([o for o in outs if devices[o] == device]) for device in devices.values()}
    total = sum(max(0, size) for size in free.values())
    places: dict[int, Path] = {}
    left = list(outs)
    for number, size in parts:
        while left and free[devices[left[0]]] < size:
            left.pop(0)
        if not left:
            needed = sum(size for _, size in parts)
            where = ", ".join(map(str, outs))
            raise MediaFull(where=where, needed=f"{needed:,} bytes", free=f"{total:,} bytes")
        free[devices[left[0]]] -= size
        places[number] = left[0]
    return places


def _device(out: Path) -> int:
    return out.stat().st_dev


def _free(outs: Sequence[Path]) -> int:
    """Bytes for parts on the one file system that these directories are on."""
    facts = os.statvfs(outs[0])
    partial = sum(one.stat().st_size for out in outs for one in out.glob(f"part-*.tar{PARTIAL}"))
    return facts.f_bavail * facts.f_frsize + partial - _RESERVE * len(outs)


def write_index(outs: Sequence[Path], index: Index, signer: Signer | None = None) -> None:
    """Every medium gets the whole index, and the sums of its own parts; bundle.json last.

    One that has this index and a signature of it is left as it is by those who have no key.
    Raises BadValue as `require_seal` does.
    """
    if signer is None:
        outs = [out for out in outs if not (_is_sealed(out) and _holds(out, index))]
        require_seal(outs, signer)
    seal = {SIGNATURE: signer.sign(index.data), CERTIFICATES: signer.chain_pem} if signer else {}
    for out in outs:
        here = [part for part in index.parts if (out / part.name).is_file()]
        sums = "".join(f"{part.digest.removeprefix('sha256:')}  {part.name}\n" for part in here)
        if here:
            write_whole(out / SUMS, sums.encode())
        write_whole(out / README, _readme(index, here, signer))
        for name in (SIGNATURE, CERTIFICATES):
            if data := seal.get(name):
                write_whole(out / name, data)
            else:
                # Of an earlier run with another key: it would speak of another index.
                (out / name).unlink(missing_ok=True)
    for out in outs:
        write_whole(out / INDEX, index.written)


def _readme(index: Index, here: Sequence[Part], signer: Signer | None) -> Iterator[bytes]:
    """How to restore without Waybill, and the sums of the restored files."""
    yield _steps(index, here, signer).encode()
    for revision in index.revisions:
        for file in revision.manifest.files:
            yield f"{hex_of(file.digest)}  {revision.repo}/{file.path}\n".encode()
    if index.stack:
        yield _restored(index.stack).encode()


def _steps(index: Index, here: Sequence[Part], signer: Signer | None) -> str:
    cut = {
        extent.member.rsplit(".", 1)[0]
        for part in index.parts
        for extent in part.extents
        if extent.length < index.blobs[extent.blob].size
    }
    joins = "".join(f"  cat {quote(name)}.{_OFFSET} > {quote(name)}\n" for name in sorted(cut))
    joins += _LAYOUT if index.stack else ""
    steps = (_CHECK if here else "") + (_UNPACK if index.parts else "") + joins
    return f"""A bundle of {_kinds(index)}: {", ".join(index.titles)}.
Parts in all: {len(index.parts)}; on this medium: {len(here)}.
{_left_out(index)}
With Waybill:  waybill verify DIRECTORY...    {_commands(index)}
Without it:
{_signed(signer, [*([SUMS] if here else []), README])}
{steps}Check what was restored (warnings about other lines are no harm):
  sha256sum -c {README}

"""


_CHECK = f"""\
Check the parts that were packed onto this medium, here:
  sha256sum -c {SUMS}
"""
_UNPACK = """\
Restore the files: copy the parts of all media and this file into one empty directory, and there:
  for part in part-*.tar; do tar -xf "$part"; done
"""
_LAYOUT = """\
The images are an OCI image layout then, which other programs read by the names in its index.json:
  skopeo copy --preserve-digests oci:images:NAME docker://REGISTRY/REPOSITORY:TAG
"""


def _kinds(index: Index) -> str:
    models = ["model files"] if index.revisions else []
    return " and ".join([*models, *(["container images"] if index.stack else [])])


def _commands(index: Index) -> str:
    models = ["waybill sideload DIRECTORY... --to STORE"] if index.revisions else []
    images = ["waybill images push DIRECTORY... --to REGISTRY"] if index.stack else []
    charted = index.stack is not None and index.stack.charts
    charts = ["waybill images chart DIRECTORY..."] if charted else []
    return "    ".join([*models, *images, *charts])


def _restored(stack: Stack) -> str:
    """Sums of all that images and charts are restored to."""
    blobs = {d for image in stack.images for d in (image.descriptor.digest, *_digests(image))}
    sums = {f"images/blobs/sha256/{hex_of(one)}": one for one in blobs}
    sums |= {file.path: file.digest for file in stack.files}
    return "".join(f"{hex_of(one)}  {path}\n" for path, one in sorted(sums.items()))


def _digests(image: Image) -> list[Digest]:
    return [blob.digest for blob in image.blobs]


def _signed(signer: Signer | None, sums: Sequence[str]) -> str:
    """How openssl checks the signature, and how the sums in these files follow from it."""
    if signer is None:
        return ""
    if signer.chain:
        key = f"-certin -inkey {CERTIFICATES}"
        first = f"""CA.pem is the CA's certificate, which you have from it, not from this medium:
  openssl verify -CAfile CA.pem -purpose any -untrusted {CERTIFICATES} {CERTIFICATES}"""
    else:
        key = "-pubin -inkey KEY.pem"
        first = f"""KEY.pem is the public key that you have from its owner, not from this medium;
its id, the SHA-256 of it in DER, is {signer.key_id}:"""
    return f"""
Check who packed it, here. {first}
  openssl pkeyutl -verify {key} -rawin -in {INDEX} -sigfile {SIGNATURE}
Check that the sums in {" and ".join(sums)} are signed (nothing is printed):
  for sum in $(grep -hoE '^[0-9a-f]{{64}}' {" ".join(sums)}); do
    grep -q "sha256:$sum" {INDEX} || echo "not signed: $sum"
  done
"""


def _left_out(index: Index) -> str:
    if index.base is None:
        return ""
    count = len(index.base.blobs)
    return (
        f"Left out: {count} files that came before, with {index.base.name}.\n"
        "Restore these into the same directory first, from the bundles that have them.\n"
    )
