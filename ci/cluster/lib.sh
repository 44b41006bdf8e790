# Sourced by the scripts beside it: where the cluster's state lies, and whether it runs.
# shellcheck shell=bash
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
here=$repo/ci/cluster
run=$cache/cluster
kind_kubeconfig=$cache/cluster-kind.kubeconfig
node=waybill-node
host_ip=172.31.255.1
node_ip=172.31.255.2

# node_pid: the process whose end is the end of the cluster; fails where there is none. A number
# alone could by now be another process's.
node_pid() {
    local pid started
    read -r pid started 2>/dev/null <"$run/node" || return 1
    [ "$(awk '{print $22}' "/proc/$pid/stat" 2>/dev/null)" = "$started" ] && echo "$pid"
}

in_node() { nsenter --target "$(node_pid)" --mount --pid --net "$@"; }

kubectl() {
    local found programs
    if found=$(type -P kubectl); then
        "$found" "$@"
    else
        programs=$("$repo/ci/tools" kubernetes)
        "$programs/kubectl" "$@"
    fi
}

answers() {
    [ "$(kubectl --kubeconfig "$1" --request-timeout 10s get --raw /readyz 2>/dev/null)" = ok ]
}

kind_runs() { [ "${WAYBILL_CLUSTER:-}" != node ] && [ -n "$(type -P kind)" ] && docker info >/dev/null 2>&1; }
