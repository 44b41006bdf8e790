package main

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

type world struct {
	pods       []*core.Pod
	namespaces map[string]labels.Set
	policies   []*networking.NetworkPolicy
}

// A direction as nftables sees it: which address is the pod's own, and which the far side's.
type direction struct {
	kind      networking.PolicyType
	mine, far string
}

var (
	ingress = direction{networking.PolicyTypeIngress, "daddr", "saddr"}
	egress  = direction{networking.PolicyTypeEgress, "saddr", "daddr"}
)

// rule is an ingress or an egress rule: the far side, and the ports of whoever is called.
type rule struct {
	peers []networking.NetworkPolicyPeer
	ports []networking.NetworkPolicyPort
}

func rules(spec networking.NetworkPolicySpec, d direction) (out []rule) {
	if d == ingress {
		for _, r := range spec.Ingress {
			out = append(out, rule{r.From, r.Ports})
		}
		return out
	}
	for _, r := range spec.Egress {
		out = append(out, rule{r.To, r.Ports})
	}
	return out
}

func matches(selector *meta.LabelSelector, set labels.Set) bool {
	s, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(set)
}

func (w world) selects(peer networking.NetworkPolicyPeer, home string, pod *core.Pod) bool {
	if peer.NamespaceSelector == nil && pod.Namespace != home {
		return false
	}
	if peer.NamespaceSelector != nil &&
		!matches(peer.NamespaceSelector, w.namespaces[pod.Namespace]) {
		return false
	}
	return peer.PodSelector == nil || matches(peer.PodSelector, pod.Labels)
}

// peerMatches is one nftables match for each way to be a peer of a policy in the namespace home;
// none where nothing can match.
func (w world) peerMatches(peers []networking.NetworkPolicyPeer, home, far string) (out []string) {
	if len(peers) == 0 {
		return []string{""}
	}
	addresses := map[string]bool{}
	for _, peer := range peers {
		if peer.IPBlock != nil {
			out = append(out, blockMatches(peer.IPBlock, far)...)
			continue
		}
		for _, pod := range w.pods {
			if w.selects(peer, home, pod) {
				addresses[pod.Status.PodIP] = true
			}
		}
	}
	if len(addresses) > 0 {
		out = append(out, fmt.Sprintf("ip %s { %s } ", far, strings.Join(sorted(addresses), ", ")))
	}
	return out
}

func blockMatches(block *networking.IPBlock, far string) []string {
	if strings.Contains(block.CIDR, ":") {
		return nil
	}
	match := fmt.Sprintf("ip %s %s ", far, block.CIDR)
	if len(block.Except) > 0 {
		match += fmt.Sprintf("ip %s != { %s } ", far, strings.Join(block.Except, ", "))
	}
	return []string{match}
}

// portMatches is one nftables match for each port; a named port is looked up in the pods called.
func portMatches(ports []networking.NetworkPolicyPort, called []*core.Pod) (out []string) {
	if len(ports) == 0 {
		return []string{""}
	}
	for _, port := range ports {
		protocol := "tcp"
		if port.Protocol != nil {
			protocol = strings.ToLower(string(*port.Protocol))
		}
		switch {
		case port.Port == nil:
			out = append(out, fmt.Sprintf("meta l4proto %s ", protocol))
		case port.Port.StrVal != "":
			out = append(out, namedPortMatches(port.Port.StrVal, protocol, called)...)
		case port.EndPort != nil:
			out = append(out, fmt.Sprintf("%s dport %d-%d ", protocol, port.Port.IntVal, *port.EndPort))
		default:
			out = append(out, fmt.Sprintf("%s dport %d ", protocol, port.Port.IntVal))
		}
	}
	return out
}

func namedPortMatches(name, protocol string, called []*core.Pod) (out []string) {
	for _, pod := range called {
		for _, container := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
			for _, port := range container.Ports {
				if port.Name == name && strings.EqualFold(string(port.Protocol), protocol) {
					out = append(out, fmt.Sprintf(
						"ip daddr %s %s dport %d ", pod.Status.PodIP, protocol, port.ContainerPort))
				}
			}
		}
	}
	return out
}

// allowed is what may pass the pod in the direction; isolated is false where no policy says.
func (w world) allowed(pod *core.Pod, d direction) (lines []string, isolated bool) {
	called := w.pods
	if d == ingress {
		called = []*core.Pod{pod}
	}
	for _, policy := range w.policies {
		if policy.Namespace != pod.Namespace || !slices.Contains(policy.Spec.PolicyTypes, d.kind) ||
			!matches(&policy.Spec.PodSelector, pod.Labels) {
			continue
		}
		isolated = true
		for _, r := range rules(policy.Spec, d) {
			for _, peer := range w.peerMatches(r.peers, policy.Namespace, d.far) {
				for _, port := range portMatches(r.ports, called) {
					// Back to the caller: the other side's policies are still to be asked.
					lines = append(lines, fmt.Sprintf(
						"%s%sreturn comment \"%s/%s\"", peer, port, policy.Namespace, policy.Name))
				}
			}
		}
	}
	return lines, isolated
}

// render is the whole table. What the node itself sends (probes, port-forward) passes neither hook.
// What pods send to the node's own addresses, its API server for one, passes only the input hook.
func (w world) render() string {
	var chains, in, out strings.Builder
	for i, pod := range w.pods {
		for _, d := range []direction{ingress, egress} {
			lines, isolated := w.allowed(pod, d)
			if !isolated {
				continue
			}
			name := fmt.Sprintf("p%d_%s", i, strings.ToLower(string(d.kind)))
			fmt.Fprintf(&chains, "  chain %s { # %s/%s\n    %s\n  }\n", name, pod.Namespace, pod.Name,
				strings.Join(append(lines, "drop"), "\n    "))
			jumps := &in
			if d == egress {
				jumps = &out
			}
			// A pod can always reach itself, by whatever Service.
			fmt.Fprintf(jumps, "    ip %s %s ip %s != %s jump %s\n",
				d.mine, pod.Status.PodIP, d.far, pod.Status.PodIP, name)
		}
	}
	hook := "  chain %[1]s {\n    type filter hook %[1]s priority filter; policy accept;\n" +
		"    ct state established,related accept\n%[2]s  }\n"
	return "table ip netpol\ndelete table ip netpol\ntable ip netpol {\n" + chains.String() +
		fmt.Sprintf(hook, "forward", out.String()+in.String()) +
		fmt.Sprintf(hook, "input", out.String()) + "}\n"
}

func sorted(set map[string]bool) []string {
	var out []string
	for key := range set {
		out = append(out, key)
	}
	sort.Strings(out)
	return out
}
