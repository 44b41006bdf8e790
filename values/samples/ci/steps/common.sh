# Sourced by every step: settings, secrets, and the branch that holds the pins.
# shellcheck shell=bash
set -euo pipefail
shopt -s inherit_errexit
steps=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$(git rev-parse --show-toplevel)"

branch=${WAYBILL_BRANCH:-main}
venv=${WAYBILL_VENV:-$PWD/.waybill-venv}
out=${WAYBILL_OUT:-out}
export PATH="$venv/bin:$PATH"
# Jenkins says itself where a change began, and what its last good build was of.
WAYBILL_BASE=${WAYBILL_BASE:-${CHANGE_TARGET:+origin/$CHANGE_TARGET}}
WAYBILL_BASE=${WAYBILL_BASE:-${GIT_PREVIOUS_SUCCESSFUL_COMMIT:-}}
# Who decides, in every history; also what git asks for. Who has made a plan cannot approve it.
WAYBILL_BY=${WAYBILL_BY:-${CHANGE_AUTHOR:-${BUILD_USER_ID:-pipeline}}}
export WAYBILL_BY
export GIT_AUTHOR_NAME=${GIT_AUTHOR_NAME:-$WAYBILL_BY} GIT_COMMITTER_NAME=${GIT_COMMITTER_NAME:-Waybill}
export GIT_AUTHOR_EMAIL=${GIT_AUTHOR_EMAIL:-waybill@localhost}
export GIT_COMMITTER_EMAIL=${GIT_COMMITTER_EMAIL:-waybill@localhost}
mkdir -p "$out"
private=$(mktemp -d)
trap 'rm -rf "$private"' EXIT

say() { echo "$*" >&2; }

die() {
    say "error: $1"
    say "hint: $2"
    exit 1
}

has() {
    local file="$1_FILE"
    [ -n "${!1:-}${!file:-}" ]
}

# secret NAME: sets `file` to a file with the secret. NAME_FILE names one; or NAME holds the text,
# which then leaves the environment, so that no other program finds it there.
secret() {
    local given="$1_FILE"
    has "$1" || die "$1 is not set" "give the step the secret: its text in $1, or a file in $given"
    file=${!given:-}
    if [ -z "$file" ]; then
        file=$private/$1
        (umask 077 && printf '%s\n' "${!1}" >"$file")
        unset "$1"
    fi
}

if has WAYBILL_CREDENTIALS; then
    secret WAYBILL_CREDENTIALS
    export AWS_SHARED_CREDENTIALS_FILE=$file
fi
if has WAYBILL_KUBECONFIG; then
    secret WAYBILL_KUBECONFIG
    export KUBECONFIG=$file
fi

# latest: the branch as it is now. What an earlier job has decided is there, whenever this run began.
latest() {
    git fetch --quiet origin "$branch"
    git checkout --quiet --force -B "$branch" FETCH_HEAD
}

# settled: ends the step where pins come by changes of their own: they are not on the branch yet.
settled() {
    [ "${WAYBILL_CHANGES:-false}" = true ] || return 0
    say "goes on when the change is merged"
    exit
}

# changed: the models whose import has come or changed since WAYBILL_BASE; without one, all.
changed() {
    local base=$WAYBILL_BASE found path model
    [[ $base =~ ^0*$ ]] || git cat-file -e "$base^{commit}" 2>/dev/null ||
        die "this checkout has no commit $base" "let the job fetch the whole history"
    if [[ $base =~ ^0*$ ]]; then
        found=$(git ls-files -- 'values/imports/*.yaml')
    else
        found=$(git diff --name-only --diff-filter=d "$base...HEAD" -- 'values/imports/*.yaml')
    fi
    for path in $found; do
        model=$(basename "$path" .yaml)
        [[ $model =~ ^[a-z0-9]([-a-z0-9]{0,22}[a-z0-9])?$ ]] ||
            die "$path is not named like a model" "use small letters, digits and dashes"
        echo "$model"
    done
}

# medium: the folder of all bundles.
medium() {
    [ -n "${WAYBILL_BUNDLES:-}" ] || die "WAYBILL_BUNDLES is not set" \
        "name a folder that all runners of this pipeline share, or a medium"
    echo "$WAYBILL_BUNDLES"
}

# bundle_of MODEL: the folder of its bundle; another import of the model has another one.
bundle_of() {
    local import folder
    folder=$(medium)
    import=$(git hash-object "values/imports/$1.yaml")
    echo "$folder/$1-${import:0:12}"
}

# shown FILE: a report. What came of the step does not hang on who can see it.
shown() {
    [ ! -e "$1" ] || "$steps/comment" "$1" || say "warning: the report could not be shown"
}

# promoted ENV WHAT: applies a plan, or the promotion that a bundle brings, and publishes the pins; its
# report is shown in any case.
promoted() {
    local env=$1 code=0 key=() report=$out/applied-$1.md
    if has WAYBILL_EVIDENCE_KEY; then
        secret WAYBILL_EVIDENCE_KEY
        key=(--key "$file")
    fi
    rm -rf "$report" "$out/applied-$env.xml" "$out/change-$env"
    # Whoever approves cannot be who applies: that is the pipeline, whoever has started this job.
    waybill apply "$2" --to "$env" "${key[@]}" --by pipeline --why "${WAYBILL_RUN:-${BUILD_TAG:-by the pipeline}}" \
        --markdown "$report" --junit "$out/applied-$env.xml" --pull-request "$out/change-$env" || code=$?
    shown "$report"
    # What was moved is published in any case.
    [ ! -e "$out/change-$env" ] || publish "$out/change-$env"
    [ $code = 0 ] || exit $code
}

# field EXPRESSION: from the JSON object on stdin, which Python knows as `it`.
field() { python3 -c "import json, sys; it = json.load(sys.stdin)['result']; print($1)"; }

# publish DIR: brings the pins to the branch, in the words of DIR/commit; or as a change, if so set.
publish() {
    mkdir -p values/pins
    git add values/pins
    if git diff --cached --quiet; then
        say "the pins stay as they are"
        return
    fi
    git commit --quiet --file "$1/commit"
    if [ "${WAYBILL_CHANGES:-false}" = true ]; then
        propose "$1"
        return
    fi
    for _ in 1 2 3 4 5; do
        ! git push --quiet origin "HEAD:refs/heads/$branch" || return 0
        # Somebody was faster. Jobs of one environment wait for each other, so this is another file.
        git pull --quiet --rebase origin "$branch"
    done
    die "the pins cannot be pushed to $branch" "let the pipeline push there, or set WAYBILL_CHANGES=true"
}

# propose DIR: a branch for a change; the change itself where the forge has a tool here.
propose() {
    local name title options=()
    name=$(<"$1/branch") title=$(<"$1/title")
    [ "${GITLAB_CI:-}" != true ] || options=(-o merge_request.create
        -o "merge_request.target=$branch" -o "merge_request.title=$title")
    git push --quiet --force "${options[@]}" origin "HEAD:refs/heads/$name"
    if [ "${GITHUB_ACTIONS:-}" = true ] && [ -n "$(type -P gh)" ]; then
        gh pr create --base "$branch" --head "$name" --title "$title" --body-file "$1/body.md"
    else
        say "the pins are on $name; title and text of the change are in $1"
    fi
}
