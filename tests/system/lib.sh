# SPDX-License-Identifier: Apache-2.0
# What the scripts of t/ share; they run in dom0.  A check prints `ok NAME` or
# `not ok NAME: why`.
LOGS=/var/log/xen/console
. /test/settings # HV: insula or xen

not_ok() { echo "not ok $1: $(echo "$2" | tail -n 3 | tr -s '\n\r\t ' ' ')"; }

# check NAME COMMAND...: the command succeeds.
check() {
    what=$1
    shift
    if out=$("$@" 2>&1); then echo "ok $what"; else not_ok "$what" "$out"; fi
}

# refused NAME COMMAND...: the command fails, and says why.
refused() {
    what=$1
    shift
    if out=$("$@" 2>&1); then not_ok "$what" "it succeeded"
    elif [ -z "$out" ]; then not_ok "$what" "it failed without a word"
    else echo "ok $what ($(echo "$out" | grep -m 1 . | cut -c 1-110))"
    fi
}

# within SECONDS COMMAND...: until the command succeeds; else its last output.
# Only the pauses count; they grow to a second, as looking is work for the machine.
within() {
    left=$(($1 * 5)) pause=1 # fifths of a second
    shift
    while [ $left -gt 0 ]; do
        last=$("$@" 2>&1) && return 0
        usleep $((pause * 200000))
        left=$((left - pause))
        [ $pause = 5 ] || pause=$((pause + 1))
    done
    echo "$last"
    return 1
}

# guest NAME LINE...: writes /tmp/NAME.cfg; a later line overrides an earlier.
guest() {
    cat >"/tmp/$1.cfg" <<EOF
name = "$1"
type = "pvh"
vcpus = 1
memory = 128
kernel = "/guests/vmlinuz"
ramdisk = "/guests/initrd"
cmdline = "console=hvc0 rdinit=/init"
EOF
    cfg=/tmp/$1.cfg
    shift
    for line; do echo "$line" >>"$cfg"; done
}

# driver NAME MIB: writes /tmp/NAME.cfg of the driver domain that the core's
# driver-domain= keeps devices for.
driver() {
    guest "$1" 'uuid = "11111111-2222-3333-4444-555555555555"' 'driver_domain = 1' \
        'ramdisk = "/guests/driver"' "memory = $2" \
        'cmdline = "console=hvc0 rdinit=/init pci=noacpi norandmaps"'
}

# --- what xl says ---

free_memory() { xl info | sed -n 's/^free_memory *: //p'; }
state() { xl list "$1" | awk 'NR == 2 { print $5 }'; }
megabytes() { xl list "$1" | awk 'NR == 2 { print $3 }'; }
seconds() { xl list "$1" | awk 'NR == 2 { print $6 }'; } # of CPU time
vcpu() { xl vcpu-list "$1" | awk -v v="$2" '$3 == v'; }
gone() { ! xl domid "$1" 2>&1; }
equal() { [ "$1" = "$2" ] || { echo "$1, not $2"; false; }; }
holds() { grep -e "$1" "$2" || { echo "no $1 in: $(tail -n 2 "$2")"; false; }; }

# --- the guest's side ---

said() { holds "$2" "$LOGS/guest-$1.log" >/dev/null; }
is_up() { within "${2:-60}" said "$1" "userspace after"; }
said_since() { tail -c "+$(($2 + 1))" "$LOGS/guest-$1.log" | grep -q "$3"; }

# enter NAME COMMAND: types it at the guest's shell.
enter() {
    tty=$(xenstore-read "/local/domain/$(xl domid "$1")/console/tty") &&
        printf '%s\n' "$2" >"$tty"
}

# answers NAME COMMAND TEXT [SECONDS]: typed at the guest's shell, it prints
# TEXT (which the command itself must not contain: the terminal echoes it).
answers() {
    at=$(wc -c <"$LOGS/guest-$1.log")
    enter "$1" "$2" || return 1
    within "${4:-10}" said_since "$1" "$at" "$3" && return 0
    echo "no '$3' in: $(tail -c "+$((at + 1))" "$LOGS/guest-$1.log")"
    return 1
}

# --- memory: the counts of every owner ---

# Insula counts frames; stock Xen's pools keep some, its figure is in MiB.
memory() {
    free_memory
    [ "$HV" = insula ] || return 0
    xl debug-keys m
    xl dmesg | awk '/debug key .m./ { text = "" } { text = text "\n" $0 }
        END { print text }' | sed -n 's/.*\] frames: //p'
}
same_memory() { equal "$(memory | tr '\n' ';')" "$1"; }
remember_memory() { memory_before=$(memory | tr '\n' ';'); }
# The last of a dead guest is freed a moment later.
check_memory() { check "$1" within 10 same_memory "$memory_before"; }

# --- the kernels' messages ---

bad_words="(BUG:|WARNING: CPU|unchecked MSR|Oops|detected .*stall|soft lockup|LOCKUP|hung_task|blocked for more|segfault|general protection|Call Trace)"

complaints() { ! grep -hE "$bad_words" "$@"; }
check_kernels() {
    dmesg >/tmp/dmesg
    check "dom0's kernel has no complaint" complaints /tmp/dmesg
    check "no guest's kernel has a complaint" complaints $LOGS/*.log
    for log in /tmp/dmesg $LOGS/*.log; do # the whole of it, for dom0's console
        grep -m 1 -A 60 -E "$bad_words" "$log" | sed 's/^/   /'
    done
}
