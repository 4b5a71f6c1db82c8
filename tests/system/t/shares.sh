# SPDX-License-Identifier: Apache-2.0
# Two busy guests on one CPU: weights and caps, within 3 %.
# run: soak=y cpus=2 time=240
. /test/lib.sh

xl vcpu-pin Domain-0 all 0
for name in a b; do
    guest $name 'cpus = "1"'
    xl create -q /tmp/$name.cfg
done
for name in a b; do
    check "$name is up" is_up $name
    check "$name: cpus= of the configuration holds" equal "$(vcpu $name 0 | sed 's/.* \([^ ]* . all\) *$/\1/')" "1 / all"
    enter $name 'while :; do :; done &'
done

# readings: seconds since dom0's start, of a's CPU time, of b's
readings() {
    read -r before _ </proc/uptime
    used=$(xl list | awk '$1 == "a" { a = $6 } $1 == "b" { b = $6 } END { print a, b }')
    read -r after _ </proc/uptime
    echo "$(awk "BEGIN { print ($before + $after) / 2 }") $used"
}
# measure SECONDS: what of the three has gone by
measure() {
    first=$(readings)
    sleep "$1"
    echo "$first $(readings)" | awk '{ print $4 - $1, $5 - $2, $6 - $3 }'
}
near() { # near MEASURED EXPECTED: within 3 %
    awk "BEGIN { r = $1 / ($2); exit !(r > 0.97 && r < 1.03) }" ||
        { echo "$1, not $2"; false; }
}

xl sched-credit2 -d a -w 512
xl sched-credit2 -d b -w 256
sleep 2
measure 30 >/tmp/shares
read -r all a b </tmp/shares
echo "weights 512 and 256: $a s and $b s of $all s"
check "weights 2:1" near "$a" "2 * $b"
check "the CPU is theirs" near "$all" "$a + $b"

xl sched-credit2 -d b -c 50
xl pause a
sleep 2
measure 24 >/tmp/shares
read -r all a b </tmp/shares
echo "cap of 50: $b s of $all s"
check "cap of 50" near "$b" "$all / 2"
check_kernels
