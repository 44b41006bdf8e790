# Before the pod ends: no longer Ready, no new connections, and time for the streams that run.
# Usage: drain.sh SECONDS    needs nothing but bash, because the image has no client for HTTP.
admin=${ADMIN_PORT:-9901}

ask() {
    local line body=""
    exec 3<>"/dev/tcp/127.0.0.1/$admin" || return 1
    printf '%s %s HTTP/1.0\r\nhost: admin\r\ncontent-length: 0\r\n\r\n' "$1" "$2" >&3
    while read -r line <&3; do body=$line; done
    exec 3>&-
    echo "$body"
}

deadline=$((SECONDS + $1))
ask POST /healthcheck/fail
# Endpoints of the Service need a moment to leave every node.
sleep 5
ask POST '/drain_listeners?graceful&skip_exit'
while [ $SECONDS -lt $deadline ]; do
    active=$(ask GET '/stats?filter=^http.gateway.downstream_rq_active$') || exit 0
    [ "${active##* }" != 0 ] || exit 0
    sleep 1
done
