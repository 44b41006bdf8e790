"""Failures of what is looked at while it runs."""

from __future__ import annotations

from waybill.errors.base import WaybillError


class PodSilent(WaybillError):
    """A pod does not answer a question that its port takes."""

    sentence = "the pod {pod} does not answer {path} on port {port}: {why}"
    hint = "run the command again; kubectl logs {pod} says more"
    exit_code = 7


class NotInstalled(WaybillError):
    """The release is not what the files say, so moving traffic would change other things, too."""

    sentence = "{release} in {namespace} is not what the files say: {count} would change ({names})"
    hint = "waybill install {environment}, then run the command again"
    exit_code = 2


class NotServed(WaybillError):
    """What answers is not what the pins say."""

    sentence = "{model} in {environment} is not served as it is pinned: {why}"
    hint = "waybill drift {environment} shows what differs; waybill install {environment} mends it"
    exit_code = 1


class RolloutOvertaken(WaybillError):
    """Somebody else has pinned another revision while this one got its traffic."""

    sentence = "{model} in {environment} is pinned to {found} meanwhile, and no longer to {commit}"
    hint = "watch that one: waybill watch {environment} --model {model}"
    exit_code = 7
