# The variants of CPython that lab/ builds. Sourced by lab/build and lab/test, not run.
# shellcheck shell=bash

# Oldest question last: what is built first is what everything else is compared with.
LAB_VARIANTS=(stock lock lock-all lock-2006 plain-all c11-relaxed c11-acq-rel stock-unspecialised free-threaded)
# They record who is counted, and are not measured: built only when they are named.
LAB_RECORDERS=(histogram histogram-2006)
# Each with PGO beside the plain build: built only when they are named, or by PGO=1.
LAB_OPTIMISED=(stock-pgo lock-pgo)

# The OT_LAB_VARIANT of refcount.h; nothing for the one that is upstream's own.
lab_refcount() {
    case $1 in
    stock | stock-pgo | stock-unspecialised) echo OT_LAB_STOCK ;;
    lock | lock-pgo) echo OT_LAB_LOCK ;;
    lock-all) echo OT_LAB_LOCK_ALL ;;
    lock-2006) echo OT_LAB_LOCK_2006 ;;
    plain-all) echo OT_LAB_PLAIN_ALL ;;
    histogram) echo OT_LAB_HISTOGRAM ;;
    histogram-2006) echo OT_LAB_HISTOGRAM_2006 ;;
    c11-relaxed) echo OT_LAB_C11_RELAXED ;;
    c11-acq-rel) echo OT_LAB_C11_ACQ_REL ;;
    free-threaded) ;;
    *) return 1 ;;
    esac
}

# What else stands in its pyconfig.h: free-threaded 3.13 has no specialising interpreter, so beside it stands a stock one
# without.
lab_define() {
    case $1 in
    stock-unspecialised) echo OT_LAB_UNSPECIALISED ;;
    esac
}

# Of `all` or a list with blanks or commas, each variant's name, or a message and failure.
lab_choose() {
    local name
    if [[ -z $1 || $1 == all ]]; then
        echo "${LAB_VARIANTS[@]}"
        return
    fi
    for name in ${1//,/ }; do
        lab_refcount "$name" >/dev/null || die "no variant '$name': there are ${LAB_VARIANTS[*]} ${LAB_RECORDERS[*]} ${LAB_OPTIMISED[*]}"
        echo "$name"
    done
}

# The atomic variants with a GIL: objtunnel runs on these and on stock.
lab_is_atomic() { [[ $1 == lock || $1 == lock-pgo || $1 == lock-all || $1 == lock-2006 || $1 == c11-* ]]; }

lab_is_optimised() { [[ $1 == *-pgo ]]; }
