# Helpers shared by the scripts in tools/. Sourced, not run.
#
# A script that sources it and is asked for --help (or -h) first prints the comment that it opens with, and does nothing else.
# shellcheck shell=bash

TOOL=${0##*/}

# Without arguments of its own, `source` leaves the script's in "$@".
if [[ ${1:-} == --help || ${1:-} == -h ]]; then
    sed -n '2,${/^#/!q; s/^# \{0,1\}//; p}' "$0"
    exit 0
fi

say() { printf '%s: %s\n' "$TOOL" "$*"; }

die() {
    printf '%s: %s\n' "$TOOL" "$*" >&2
    exit 1
}

# run_logged LABEL LOG COMMAND...: runs a slow command with its output in LOG, and says every few
# seconds how long it has been at it. Its exit status is the command's; on failure the log's end
# is shown, so that a CI run tells what went wrong.
run_logged() {
    local label=$1 log=$2 start=$SECONDS told=$SECONDS every=15 pid status=0
    shift 2
    if [[ -t 1 ]]; then every=1; fi
    mkdir -p "$(dirname "$log")"
    say "$label ... (log: $log)"
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    # Bash lets background jobs ignore Ctrl-C: pass it on, or make's compilers would go on.
    trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        if ((SECONDS - told >= every)); then
            told=$SECONDS
            progress_line "$label" $((SECONDS - start)) "$log"
        fi
    done
    wait "$pid" || status=$?
    trap - INT TERM
    if [[ -t 1 ]]; then printf '\r\033[K'; fi
    if ((status)); then
        tail -n 30 "$log" >&2
        say "$label: FAILED after $((SECONDS - start)) s, see $log" >&2
        return "$status"
    fi
    say "$label: done, $((SECONDS - start)) s"
}

progress_line() {
    local label=$1 elapsed=$2 log=$3 compiled
    compiled=$(grep -c -e ' -c .*\.c' "$log" || true)
    if [[ $compiled != 0 ]]; then compiled=", $compiled files compiled"; else compiled=; fi
    if [[ -t 1 ]]; then
        printf '\r\033[K%s: %s: %d s%s' "$TOOL" "$label" "$elapsed" "$compiled"
    else
        say "$label: $elapsed s$compiled"
    fi
}

can_apt() { [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; }

# apt_install PACKAGE...: installs Debian packages, or says which are missing where it may not.
# The package lists are fetched only if apt does not know the packages: a fresh machine has none.
apt_install() {
    local log=${BUILD:-build}/log/apt.log
    if ! can_apt; then
        die "missing Debian packages: $*
    Install them as root (apt-get install $*), or their equivalents, and run make again."
    fi
    export DEBIAN_FRONTEND=noninteractive
    local patience=(-o DPkg::Lock::Timeout=600)  # for another apt-get, which holds dpkg's lock
    if ! apt-get install --simulate -qq "$@" >/dev/null 2>&1; then
        run_logged "apt-get update" "$log" apt-get update -q
    fi
    if ! run_logged "installing $*" "$log" apt-get "${patience[@]}" install -y -q --no-install-recommends "$@"; then
        # Lists that are too old name versions which the mirror no longer has.
        run_logged "apt-get update" "$log" apt-get update -q
        run_logged "installing $*" "$log" apt-get "${patience[@]}" install -y -q --no-install-recommends "$@"
    fi
}

# What to put before a program with ThreadSanitizer in it, a word a line. That of gcc 12 and clang 14 aborts where the
# kernel randomises more address bits than its memory map foresees. Not every container may turn that off.
tsan_run() {
    if setarch -R true 2>/dev/null; then printf '%s\n' setarch -R; else echo env; fi
}

# The Debian mirror of this machine, from its own apt configuration: no host is named in our files.
debian_mirror() {
    local dir=${APT_DIR:-/etc/apt}
    {
        cat "$dir/sources.list.d/debian.sources" "$dir/sources.list" 2>/dev/null || true
    } | awk '
        /^#/ { next }
        $1 == "URIs:" { uri = $2 }
        $1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) { uri = $i; break } }
        uri != "" && uri !~ /security/ { print uri; exit }
        { uri = "" }'
}
