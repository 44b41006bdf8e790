# Before the pod ends: no longer Ready, no new connections, and time for the streams that run.
# Usage: drain.sh SECONDS
source "${BASH_SOURCE[0]%/*}/admin.sh"

deadline=$((SECONDS + $1))
ask POST /healthcheck/fail
# The Service's endpoints need a moment to leave every node; late requests are still answered.
sleep 5
ask POST '/drain_listeners?graceful&skip_exit'
while [ $SECONDS -lt "$deadline" ]; do
    stats=$(ask GET '/stats?filter=^http.gateway.downstream_rq_active$') || exit 0
    [[ $stats =~ downstream_rq_active:\ [1-9] ]] || exit 0
    sleep 1
done
