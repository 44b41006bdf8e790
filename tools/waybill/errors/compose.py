"""Failures of Compose files: what one host without Kubernetes cannot give."""

from __future__ import annotations

from waybill.errors.base import WaybillError


class NotInCompose(WaybillError):
    """The values ask for something that exists on Kubernetes alone."""

    sentence = "{where} asks for {what}, which Compose files cannot say"
    hint = "{advice}"
    exit_code = 2


class NotEnoughGpus(WaybillError):
    """Compose hands GPUs out by their ids, and two engines on one would each take all of it."""

    sentence = "the engines need {needed} GPUs, and --gpus names {named}"
    hint = "name all that they may use, as nvidia-smi -L lists them, or pin fewer models"
    exit_code = 2


class NotPublishable(WaybillError):
    """--publish names a service that answers nobody, or anybody."""

    sentence = "{name} cannot be published: {why}"
    hint = "change --publish; clients ask the gateway, gateway=[ADDRESS:]PORT"
    exit_code = 2


class ComposeLacks(WaybillError):
    """Files that the services mount, and only people can make."""

    sentence = "the services need what is not there: {paths}"
    hint = "make them, then run the command again; tools/docs/compose.md says what goes into each"
    exit_code = 2
