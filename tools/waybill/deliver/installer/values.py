"""The values of both charts, as expressions over what a person has chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from waybill.deliver.demands import GPU
from waybill.deliver.helm import overlay
from waybill.deliver.installer import config, images
from waybill.deliver.installer.expressions import answer, chosen, number, quoted, repl, text, where
from waybill.deliver.installer.targets import Target
from waybill.deliver.installer.troubleshoot import checks
from waybill.deliver.secrets import Plan

OWN_STORE = chosen("store", "external")
OWN_ISSUER = chosen("identity", "external")
READ, WRITE, CA = "waybill-store-read", "waybill-store-write", "waybill-ca"
"""Objects that the settings' chart makes of what a person has typed."""
_NOWHERE = "127.0.0.1/32"
"""What policies let pods reach where nobody has said an address."""
_BACKED_UP = {"backup.velero.io/backup-volumes": "data"}
_LEFT_OUT = "backup.velero.io/backup-volumes-excludes"
"""Models come from media again, and would be most of a backup."""

Values = dict[str, Any]


def static(defaults: Values, vendor: Values) -> Values:
    """What holds before anybody chooses anything, to find the images by; each by its tag alone."""
    named = images.places(overlay(defaults, vendor))
    digests = [each.path for each in named if each.own.get("digest")]
    return _merged(vendor, *(images.nested(path, {"digest": ""}) for path in digests))


def application(target: Target, defaults: Values, vendor: Values) -> Values:
    """Of the chart. `defaults` are its own values, `vendor` those laid over them here."""
    parts = [_store(), _identity(), _engines(), _access(), _backup(), _models(vendor)]
    parts.append(
        {"global": {"secrets": {"create": False}, "imagePullSecrets": target.pull_secrets}}
    )
    for place in images.places(overlay(defaults, vendor)):
        keys = target.image(dict(place.whole))
        # What is inherited is rewritten where it is inherited from.
        kept = {key: keys[key] for key in keys if key in place.own}
        parts.append(images.nested(place.path, kept))
    return _merged(vendor, *parts)


def settings(target: Target, plan: Plan) -> Values:
    """Of the chart beside it."""
    found: Values = {
        "generated": config.generated(plan),
        "given": {
            READ: _keys("store_key_id", "store_secret_key"),
            WRITE: _keys("store_write_key_id", "store_write_secret_key"),
        },
        "caBundle": text("ca_bundle"),
    }
    return found | ({"checks": checks()} if target.charts_only else {})


def _keys(key_id: str, secret: str) -> dict[str, str]:
    """Empty without a store of one's own: what was typed before the other choice is not used."""
    return {
        "AWS_ACCESS_KEY_ID": where(OWN_STORE, answer(key_id)),
        "AWS_SECRET_ACCESS_KEY": where(OWN_STORE, answer(secret)),
    }


def _store() -> Values:
    keys = ("store_write_key_id", "store_write_secret_key")
    writes = " ".join([f"and ({OWN_STORE})", *(f"({answer(key)} | empty | not)" for key in keys)])
    outside = {
        "enabled": repl(OWN_STORE),
        "cidr": text("store_cidr", _NOWHERE),
        "ports": [number("store_port", "443")],
        "from": ["model-hub", "vllm", "import"],
    }
    store = {
        "mode": text("store", "embedded"),
        "endpoint": where(OWN_STORE, answer("store_endpoint")),
        "region": where(OWN_STORE, answer("store_region", "us-east-1"), quoted("us-east-1")),
        "bucket": where(OWN_STORE, answer("store_bucket", "waybill"), quoted("waybill")),
        "prefix": where(OWN_STORE, answer("store_prefix")),
        "users": {
            "hub": {"existingSecret": where(OWN_STORE, quoted(READ))},
            "sideload": {"existingSecret": where(writes, quoted(WRITE))},
        },
    }
    storage = {"size": text("storage_size", "200Gi"), "storageClass": text("storage_class")}
    return {
        "global": {
            "objectStore": store,
            "network": {"external": {"store": outside}},
            "caBundle": {
                "existingConfigMap": where(f"{answer('ca_bundle')} | empty | not", quoted(CA))
            },
        },
        "minio": {"enabled": repl(chosen("store", "embedded")), "storage": storage},
    }


def _identity() -> Values:
    outside = {
        "enabled": repl(OWN_ISSUER),
        "cidr": text("identity_cidr", _NOWHERE),
        "ports": [number("identity_port", "443")],
        "from": ["gateway", "model-hub"],
    }
    hub, gateway = quoted("waybill-hub"), quoted("waybill-gateway")
    oidc = {
        "mode": text("identity", "embedded"),
        "issuer": where(OWN_ISSUER, answer("identity_issuer"), f"({answer('identity_public')})"),
        "jwksUri": where(OWN_ISSUER, answer("identity_jwks")),
        "audiences": {
            "hub": where(OWN_ISSUER, answer("identity_hub", "waybill-hub"), hub),
            "gateway": where(OWN_ISSUER, answer("identity_gateway", "waybill-gateway"), gateway),
        },
    }
    tenant = where(OWN_ISSUER, answer("identity_tenant", "azp"), quoted("azp"))
    return {
        "global": {"oidc": oidc, "network": {"external": {"issuer": outside}}},
        "gateway": {"auth": {"tenantClaim": tenant}},
        "keycloak": {"enabled": repl(chosen("identity", "embedded"))},
    }


def _engines() -> Values:
    gpu = {
        "resources": {"limits": {GPU: number("gpus", "1")}},
        "engineArgs": {"tensor-parallel-size": number("gpus", "1")},
        "runtimeClassName": text("runtime_class"),
    }
    return {"global": {"profiles": {"gpu": gpu}, "pinsYaml": text("pins")}}


def _access() -> Values:
    ingress = {
        "enabled": repl(f"{answer('host')} | empty | not"),
        "host": text("host"),
        "className": text("ingress_class"),
        "tlsSecretName": text("tls_name"),
    }
    return {"gateway": {"ingress": ingress}}


def _backup() -> Values:
    return {
        "keycloak": {"podAnnotations": _BACKED_UP},
        "minio": {"podAnnotations": {_LEFT_OUT: "data"}},
        "vllm": {"podAnnotations": {_LEFT_OUT: "weights"}},
    }


def _models(vendor: Values) -> Values:
    """The vendor's models, on the other profile where there are no GPUs."""
    models = vendor.get("global", {}).get("models", {})
    profiles = {
        name: {"profile": where(chosen("hardware", "cpu"), quoted("cpu"), quoted(model["profile"]))}
        for name, model in models.items()
        if "profile" in model
    }
    return {"global": {"models": profiles}} if profiles else {}


def _merged(*parts: Mapping[str, Any]) -> Values:
    whole: Values = {}
    for part in parts:
        whole = overlay(whole, part)
    return whole
