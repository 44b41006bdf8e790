# Sourced by the scripts beside it: speaks HTTP by itself, because the image has no client for it.
admin=${ADMIN_PORT:-9901}

# ask METHOD PATH: the whole answer of Envoy's admin.
ask() {
    exec 3<>"/dev/tcp/127.0.0.1/$admin" || return 1
    printf '%s %s HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n' "$1" "$2" >&3
    cat <&3
    exec 3>&-
}
