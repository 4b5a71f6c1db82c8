# SPDX-License-Identifier: Apache-2.0
# Run in the dom0 where m is: in 12 seconds, m's clock by the clocksource $1 and dom0's.
# An answer may be seen a second late.
source=/sys/devices/system/clocksource/clocksource0/current_clocksource
up() {
    answers m 'read up _ </proc/uptime; echo up: $up' 'up: [0-9]' >&2
    grep -ao 'up: [0-9.]*' $LOGS/guest-m.log | tail -n 1 | cut -c5-
    cut -d' ' -f1 /proc/uptime
}
answers m "echo $1 >$source; echo by \$(cat $source)" "by $1" &&
    echo $(up; sleep 12; up) |
    awk '{ r = ($3 - $1) / ($4 - $2) } r < 0.85 || r > 1.15 { print "rate: " r; exit 1 }'
