# Sourced by the scripts that make images: a root folder becomes a layer, always the same one.
# shellcheck shell=bash
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
images=$repo/ci/images

# pack_layer ROOT TAR [OWNER]: the files belong to OWNER (a user's number) and to group 0.
pack_layer() {
    tar --create --file "$2" --directory "$1" --format gnu --sort name --mtime @0 \
        --owner "${3:-0}" --group 0 --numeric-owner .
}
