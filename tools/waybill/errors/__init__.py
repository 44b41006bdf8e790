"""Every error once: its sentence, the way out, exit code, HTTP status and Hugging Face code.

A class attribute `sentence` is a format string over the facts given at the place of the
failure; `hint` says what to do next. The command line, the hub's answers and the generated
reference (tools/docs/errors.md) are all derived from these classes.

Exit codes: 0 ok, 1 error, 2 usage or specification, 3 gate or policy denied, 4 integrity,
5 changes or drift, 6 frozen, 7 retryable or lost race, 130 interrupted and resumable.
"""

from waybill.errors.base import *
from waybill.errors.base import WaybillError
from waybill.errors.bundle import *
from waybill.errors.cluster import *
from waybill.errors.compose import *
from waybill.errors.evidence import *
from waybill.errors.hub import *
from waybill.errors.images import *
from waybill.errors.installer import *
from waybill.errors.live import *
from waybill.errors.policy import *
from waybill.errors.sign import *
from waybill.errors.store import *


def every() -> list[type[WaybillError]]:
    """All of them but the root, in the order of the reference."""
    found = [value for value in globals().values() if isinstance(value, type)]
    return [each for each in found if issubclass(each, WaybillError) and each is not WaybillError]
