"""What happens to media on their way: a file of a bundle is changed, and its name told."""

import os
import random
from collections.abc import Callable
from pathlib import Path

from waybill.bundle.format import INDEX
from waybill.bundle.media import Bundle

Spoil = Callable[[Path, random.Random], str]


def _of(bundle: Path, rng: random.Random) -> str:
    parts = sorted(path.name for path in bundle.glob("part-*.tar"))
    return rng.choice([*parts, *parts, INDEX])


def flipped(bundle: Path, rng: random.Random) -> str:
    """A bit of the index, or of one of the parts, which are twice as likely."""
    name = _of(bundle, rng)
    data = bytearray((bundle / name).read_bytes())
    at, bit = rng.randrange(len(data)), rng.randrange(8)
    data[at] ^= 1 << bit
    (bundle / name).write_bytes(data)
    return name


def cut_short(bundle: Path, rng: random.Random) -> str:
    name = _of(bundle, rng)
    os.truncate(bundle / name, rng.randrange((bundle / name).stat().st_size))
    return name


def overwritten(bundle: Path, rng: random.Random) -> str:
    """A sector that came back as zeros, as of a stick that is worn."""
    name = _of(bundle, rng)
    data = bytearray((bundle / name).read_bytes())
    at = rng.randrange(len(data)) // 512 * 512
    data[at : at + 512] = bytes(len(data[at : at + 512]))
    (bundle / name).write_bytes(data)
    return name


def names_a_file_of(bundle: Path, part: str, said: str) -> bool:
    """A file that goes over several parts is named with the first and the last of them."""
    index = Bundle.open([bundle]).index
    extents = next(one.extents for one in index.parts if one.name == part)
    whole = {extent.member.removesuffix(f".{extent.offset:020}") for extent in extents}
    return any(f"{member} of part-" in said for member in whole)
