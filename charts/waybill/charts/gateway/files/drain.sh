# Before the pod ends: no longer Ready, no new connections, and time for the streams that run.
# Usage: drain.sh SECONDS    speaks HTTP by itself, because the image has no client for it.
admin=${ADMIN_PORT:-9901}

# ask METHOD PATH: the whole answer of Envoy's admin.
ask() {
    exec 3<>"/dev/tcp/127.0.0.1/$admin" || return 1
    printf '%s %s HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n' "$1" "$2" >&3
    cat <&3
    exec 3>&-
}

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
