# Whether a pod that begins may take requests: Envoy is ready, and has had the keys of an issuer.
# Usage: started.sh [CLUSTER OF THE KEYS]
# Without them it would refuse every token, while the pod that it replaces still knows them.
source "${BASH_SOURCE[0]%/*}/admin.sh"

[[ $(ask GET /ready) == *" 200 "* ]] || exit 1
[ -n "${1:-}" ] || exit 0
[[ $(ask GET "/stats?filter=^cluster.$1.upstream_rq_200$") =~ upstream_rq_200:\ [1-9] ]]
