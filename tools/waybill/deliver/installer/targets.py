"""The three installers, and what each calls things that they all have.

`kots` is an existing cluster with the KOTS admin console, `ec2` and `ec3` bring Kubernetes along.
The third has no KOTS in it: other functions for images, other preflight checks, charts alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from waybill.deliver.installer.expressions import quoted, repl

KUBERNETES = "1.36"
"""The version that Embedded Cluster brings, of either generation."""
PUBLIC = frozenset({"docker.io", "quay.io"})
"""Registries that everybody may read, so that nothing has to be asked of the vendor's proxy."""


@dataclass(frozen=True)
class Target:
    """An installer. `cluster` is the default version of Embedded Cluster, "" where there is none.

    `charts_only`: it installs Helm charts and nothing else, and renders preflight checks by their
    values.
    """

    name: str
    title: str
    cluster: str = ""
    charts_only: bool = False

    def image(self, image: dict[str, str]) -> dict[str, str]:
        """The keys of an image that have to be other ones where the installer keeps a registry.

        Air-gapped bundles hold one architecture, whose digest nobody knows here: the tag counts.
        """
        registry, repository = image["registry"], image["repository"]
        if self.charts_only:
            place = local(registry, direct=registry in PUBLIC)
            return {"registry": repl(f"{place} | toJson"), "digest": ""}
        # KOTS keeps the last part of the path alone, in a namespace that may be empty.
        last = quoted("/" + repository.rpartition("/")[2])
        path = f'(print LocalRegistryNamespace {last} | trimPrefix "/")'
        return {
            "registry": _where_local("LocalRegistryHost", registry),
            "repository": _where_local(path, repository),
            "digest": "",
        }

    @property
    def pull_secrets(self) -> list[str]:
        """Embedded Cluster 3 signs all pods in by itself."""
        return [] if self.charts_only else [repl("ImagePullSecretName | toJson")]


def local(registry: str, *, direct: bool) -> str:
    """Embedded Cluster 3's own registry where it has one; else this one, or the proxy to it."""
    return f"ReplicatedImageRegistry {quoted(registry)}{' true' if direct else ''}"


def _where_local(kept: str, upstream: str) -> str:
    return repl(f"HasLocalRegistry | ternary {kept} {quoted(upstream)} | toJson")


TARGETS = {
    each.name: each
    for each in (
        Target("kots", "KOTS in a cluster that is there"),
        Target("ec2", "Embedded Cluster 2", f"2.19.2+k8s-{KUBERNETES}"),
        Target("ec3", "Embedded Cluster 3", f"3.11.1-beta.1+k8s-{KUBERNETES}", charts_only=True),
    )
}
