"""For each rule of releases a bad sample and a good one: file -> text, or the files of a chart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

Content: TypeAlias = str | Mapping[str, str]
Files: TypeAlias = Mapping[str, Content]

CHART = {"demo/Chart.yaml": "{apiVersion: v2, name: demo, version: 1.0.0}"}
"""A chart's files by path; a sample gives them where it has an archive."""


class Sample(NamedTuple):
    bad: Files
    good: Files


def options(*items: str) -> Files:
    """A Config whose one group has these items, in YAML's short form."""
    lines = "".join(f"        - {item}\n" for item in items)
    head = "apiVersion: kots.io/v1beta1\nkind: Config\nmetadata: {name: c}\nspec:\n  groups:\n"
    return {"config.yaml": f"{head}    - name: g\n      items:\n{lines}"}


def one(kind: str, api: str, spec: str = "{}", name: str = "x") -> Files:
    text = f"apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    return {f"{kind.lower()}-{name}.yaml": text}


def application(spec: str) -> Files:
    return one("Application", "kots.io/v1beta1", spec)


def chart(name: str = "demo", more: str = "", file: str = "demo") -> Files:
    spec = f"{{chart: {{name: {name}, chartVersion: 1.0.0}}{more}}}"
    return one("HelmChart", "kots.io/v1beta2", spec, file)


def cluster(spec: str) -> Files:
    return one("Config", "embeddedcluster.replicated.com/v1beta1", spec)


def installer(api: str, version: str) -> Files:
    return one("Installer", api, f'{{kubernetes: {{version: "{version}"}}}}')


def in_chart(path: str, text: str, **more: str) -> Files:
    others = {f"demo/crds/{name}.yaml": each for name, each in more.items()}
    return {"demo-1.0.0.tgz": {**CHART, f"demo/templates/{path}": text, **others}}


THREE, TWO = 'version: "3.11.1+k8s-1.36"', 'version: "2.19.2+k8s-1.36"'
PREFLIGHT = "apiVersion: troubleshoot.sh/v1beta2\nkind: Preflight\nmetadata: {name: p}\n"
REPEATED = "{name: a, type: text, repeatable: true"
IN_PLACE = "templates: [{apiVersion: v1, kind: Secret, name: s, yamlPath: "

ERRORS = {
    "config-option-invalid-type": Sample(
        options("{name: a, type: number}"), options("{name: a, type: text}")
    ),
    "config-option-is-circular": Sample(
        options(
            "{name: a, value: 'repl{{ ConfigOption \"b\" }}'}",
            "{name: b, value: 'repl{{ ConfigOption \"a\" }}'}",
        ),
        options("{name: a, value: 'repl{{ ConfigOption \"b\" }}'}", "{name: b, default: x}"),
    ),
    "config-option-not-repeatable": Sample(
        {**options("{name: a}"), **one("Deployment", "apps/v1", 'repl[[ConfigOption "a"]]')},
        {
            **options("{name: a, repeatable: true}"),
            **one("Deployment", "apps/v1", 'repl[[ConfigOption "a"]]'),
        },
    ),
    "config-option-when-is-invalid": Sample(
        options("{name: a, when: sometimes}"),
        options('{name: a, when: \'repl{{ ConfigOptionEquals "b" "1" }}\'}', "{name: b}"),
    ),
    "config-option-invalid-regex-validator": Sample(
        options("{name: a, type: text, validation: {regex: {pattern: '^(?=.*[0-9]).+$'}}}"),
        options("{name: a, type: text, validation: {regex: {pattern: '^[0-9]+$'}}}"),
    ),
    "config-option-regex-validator-invalid-type": Sample(
        options("{name: a, type: bool, validation: {regex: {pattern: '^[0-9]+$'}}}"),
        options("{name: a, type: password, validation: {regex: {pattern: '^[0-9]+$'}}}"),
    ),
    "container-image-local-image-name": Sample(
        one("Pod", "v1", "{containers: [{image: 'repl{{ LocalImageName \"a/b:1\" }}'}]}"),
        one("Pod", "v1", "{containers: [{image: 'a/b:1'}]}"),
    ),
    "duplicate-helm-release-name": Sample(
        {**chart("a", ", releaseName: r", "a"), **chart("b", ", releaseName: r", "b")},
        {**chart("a", ", releaseName: r", "a"), **chart("b", ", releaseName: s", "b")},
    ),
    "duplicate-kots-kind": Sample(
        {**application("{title: a}"), **one("Application", "kots.io/v1beta1", "{title: b}", "y")},
        {**application("{title: a}"), **one("Application", "app.k8s.io/v1beta1", "{}", "y")},
    ),
    "helm-archive-missing": Sample(chart(), {**chart(), "demo-1.0.0.tgz": CHART}),
    "helm-chart-missing": Sample(
        {"demo-1.0.0.tgz": CHART, **chart("other")}, {"demo-1.0.0.tgz": CHART, **chart()}
    ),
    "invalid-kubernetes-installer": Sample(
        installer("cluster.kurl.sh/v1beta1", "1.30.x"),
        installer("cluster.kurl.sh/v1beta1", "1.30.2"),
    ),
    "invalid-min-kots-version": Sample(
        application("{title: a, minKotsVersion: '1.130'}"),
        application("{title: a, minKotsVersion: v1.130.0}"),
    ),
    "invalid-target-kots-version": Sample(
        application("{title: a, targetKotsVersion: latest}"),
        application("{title: a, targetKotsVersion: 1.131.4}"),
    ),
    "invalid-type": Sample(
        application("{title: a, allowRollback: 'yes'}"),
        application("{title: a, allowRollback: true}"),
    ),
    "invalid-yaml": Sample({"a.yaml": "kind: [\n"}, {"a.yaml": "kind: A\napiVersion: v1\n"}),
    "missing-api-version-field": Sample(
        {"a.yaml": "kind: A\n"}, {"a.yaml": "kind: A\napiVersion: v1\n"}
    ),
    "missing-kind-field": Sample(
        {"a.yaml": "apiVersion: v1\n"}, {"a.yaml": "kind: A\napiVersion: v1\n"}
    ),
    "repeat-option-malformed-yamlpath": Sample(
        options(f"{REPEATED}, {IN_PLACE}data.a}}]}}"),
        options(f"{REPEATED}, {IN_PLACE}'data[0]'}}]}}"),
    ),
    "repeat-option-missing-template": Sample(
        options(f"{REPEATED}}}"), options(f"{REPEATED}, {IN_PLACE}'data[0]'}}]}}")
    ),
    "repeat-option-missing-valuesByGroup": Sample(
        options(f"{REPEATED}}}"), options(f"{REPEATED}, valuesByGroup: {{g: {{a-1: x}}}}}}")
    ),
    "ec-version-required": Sample(cluster("{}"), cluster(f"{{{TWO}}}")),
    "non-existent-ec-version": Sample(cluster('{version: "2.19"}'), cluster(f"{{{TWO}}}")),
}
"""All that Replicated has at the level of an error, but for the two that a helm is asked."""

WARNINGS = {
    "application-icon": Sample(
        application("{title: a}"), application("{title: a, icon: 'data:image/png;base64,AA=='}")
    ),
    "application-spec": Sample(chart(), application("{title: a}")),
    "application-statusInformers": Sample(
        application("{title: a}"), application("{title: a, statusInformers: [deployment/a]}")
    ),
    "config-option-not-found": Sample(
        {**options("{name: a}"), **one("Pod", "v1", 'repl{{ ConfigOption "b" }}')},
        {**options("{name: a}"), **one("Pod", "v1", 'repl{{ ConfigOption "a" }}')},
    ),
    "config-option-password-type": Sample(
        options("{name: api_token, type: text}"), options("{name: api_token, type: password}")
    ),
    "config-spec": Sample(cluster(f"{{{TWO}}}"), options("{name: a}")),
    "deprecated-kubernetes-installer-version": Sample(
        installer("kurl.sh/v1beta1", "1.30.2"), installer("cluster.kurl.sh/v1beta1", "1.30.2")
    ),
    "invalid-helm-release-name": Sample(
        chart(more=", releaseName: a..B"), chart(more=", releaseName: a.b-c")
    ),
    "nonexistent-status-informer-object": Sample(
        application("{title: a, statusInformers: [deployment/gone]}"),
        {
            **application("{title: a, statusInformers: [ns/deployment/there]}"),
            **one("Deployment", "apps/v1", "{}", "there"),
        },
    ),
    "preflight-spec": Sample(
        {**cluster(f"{{{THREE}}}"), "p.yaml": PREFLIGHT}, {"p.yaml": PREFLIGHT}
    ),
    "troubleshoot-spec": Sample(
        {"p.yaml": PREFLIGHT}, one("SupportBundle", "troubleshoot.sh/v1beta2")
    ),
    "troubleshoot-spec-in-chart-without-crd": Sample(
        in_chart("p.yaml", PREFLIGHT),
        in_chart("p.yaml", PREFLIGHT, p="kind: CustomResourceDefinition\n# of troubleshoot\n"),
    ),
}

OWN = {
    "unknown-field": Sample(chart(more=", wieght: 1"), chart(more=", weight: 1")),
    "builder-has-templates": Sample(
        chart(more=", builder: {a: 'repl{{ Namespace }}'}"), chart(more=", builder: {a: b}")
    ),
    "function-of-another-installer": Sample(
        {**cluster(f"{{{THREE}}}"), **one("Pod", "v1", "repl{{ LocalRegistryHost }}")},
        {**cluster(f"{{{TWO}}}"), **one("Pod", "v1", "repl{{ LocalRegistryHost }}")},
    ),
}
"""What installers would only find out when a customer installs."""

WITH_HELM = {"helm-schema-violation", "invalid-rendered-yaml"}

_OPERATOR = """\
nfd: {enabled: true}
operator: {repository: nvcr.io/nvidia, image: gpu-operator}
driver:
  enabled: true
  repository: nvcr.io/nvidia
  image: driver
  version: 595.91.07
  manager: {repository: nvcr.io/nvidia/cloud-native, image: k8s-driver-manager, version: v0.11.0}
toolkit: {enabled: true, repository: nvcr.io/nvidia/k8s, image: container-toolkit, version: v1.20.0}
devicePlugin: {repository: nvcr.io/nvidia, image: k8s-device-plugin, version: v0.20.0}
gfd: {enabled: true, repository: nvcr.io/nvidia, image: k8s-device-plugin, version: v0.20.0}
dcgm: {enabled: false, repository: nvcr.io/nvidia/cloud-native, image: dcgm, version: "4.5"}
dcgmExporter: {enabled: true, repository: nvcr.io/nvidia/k8s, image: dcgm-exporter, version: "4.5"}
migManager:
  {enabled: true, repository: nvcr.io/nvidia/cloud-native, image: k8s-mig-manager, version: v0.14.2}
vfioManager: {enabled: true, repository: nvcr.io/nvidia, image: cuda, version: "13.0"}
"""
_POLICY = """\
apiVersion: nvidia.com/v1
kind: ClusterPolicy
metadata: {name: cluster-policy}
spec:
  operator: {defaultRuntime: containerd}
  {{- range $name, $part := omit .Values "nfd" "operator" "node-feature-discovery" "global" }}
  {{ $name }}: {{ toJson $part }}
  {{- end }}
"""
_POD = (
    "apiVersion: v1\nkind: Pod\nmetadata: {{name: {0}}}\nspec: {{containers: [{{image: {1}}}]}}\n"
)
_NFD = "gpu-operator/charts/node-feature-discovery"
OPERATOR = {
    "gpu-operator/Chart.yaml": "{apiVersion: v2, name: gpu-operator, version: v26.7.0, appVersion:"
    " v26.7.0, kubeVersion: '>= 1.16.0-0', dependencies: [{name: node-feature-discovery,"
    " version: 0.18.3, condition: nfd.enabled}]}",
    "gpu-operator/values.yaml": _OPERATOR,
    "gpu-operator/templates/policy.yaml": _POLICY,
    "gpu-operator/templates/operator.yaml": _POD.format(
        "o",
        '"{{ .Values.operator.repository }}/{{ .Values.operator.image }}:{{ .Chart.AppVersion }}"',
    ),
    f"{_NFD}/Chart.yaml": "{apiVersion: v2, name: node-feature-discovery, version: 0.18.3}",
    f"{_NFD}/values.yaml": "{image: {repository: registry.k8s.io/nfd/node-feature-discovery}}",
    f"{_NFD}/templates/worker.yaml": _POD.format(
        "w", '"{{ .Values.image.repository }}:v{{ .Chart.Version }}"'
    ),
}
"""Made as NVIDIA's chart: pods of its own, of a chart within, and a policy that names more."""
OPERATOR_IMAGES = {
    "nvcr.io/nvidia/cloud-native/k8s-mig-manager:v0.14.2",
    "nvcr.io/nvidia/gpu-operator:v26.7.0",
    "nvcr.io/nvidia/k8s-device-plugin:v0.20.0",
    "nvcr.io/nvidia/k8s/container-toolkit:v1.20.0",
    "nvcr.io/nvidia/k8s/dcgm-exporter:4.5",
    "registry.k8s.io/nfd/node-feature-discovery:v0.18.3",
}
"""Without those of the driver, and of what is switched off."""
