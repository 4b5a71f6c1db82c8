# SPDX-License-Identifier: Apache-2.0
# Each command of xl, seen by its effect.
# run: cpus=2 time=300 accel=tcg,thread=single
. /test/lib.sh

last_cpu=$(($(xl info | sed -n 's/^nr_cpus *: //p') - 1))
owners() { memory | sed -n 's/ owns \([0-9]*\).*/ \1/p' | tr '\n' ';'; }
before=$(owners)
same_owners() { equal "$(owners)" "$before"; }
guest a 'vcpus = 2'
busy() { enter a 'while :; do :; done & spinner=$!'; }
idle() { enter a 'kill $spinner'; }

xl info >/tmp/info
check "info: version" holds '^xen_version  *: 4\.17\.' /tmp/info
check "info: scheduler" holds '^xen_scheduler  *: credit2' /tmp/info
check "info: CPUs" equal $last_cpu 1

# --- create, list, pause ---
check "create -p" xl create -q -p /tmp/a.cfg
check "create -p: paused" equal "$(state a)" --p---
sleep 1
check "create -p: has not run" equal "$(seconds a)" 0.0
xl list >/tmp/list
check "list: dom0" holds '^Domain-0  *0 ' /tmp/list
check "list: name, id, memory, vCPUs on-line" holds '^a  *1  *128  *1  ' /tmp/list
check "unpause" xl unpause a
check "unpause: the guest gets to userspace" is_up a
vcpus() { xl list a | awk 'NR == 2 { print $4 }'; }
check "list: two vCPUs on-line" equal "$(vcpus)" 2

busy
sleep 1
check "pause" xl pause a
check "pause: in list" equal "$(state a)" --p---
used=$(seconds a)
sleep 2
check "pause: no CPU time goes by" equal "$(seconds a)" "$used"
xl unpause a
sleep 2
more() { awk "BEGIN { exit !($1 >= $2 + $3) }" || { echo "$1, before $2"; false; }; }
check "unpause: CPU time goes by" more "$(seconds a)" "$used" 1

# --- vCPUs ---
check "vcpu-list: two" equal "$(xl vcpu-list a | grep -c '^a ')" 2
check "vcpu-pin: all to the last CPU" xl vcpu-pin a all $last_cpu
runs_on() { vcpu a 0 | grep -Eq "^a +1 +0 +$1 .* $1 / all" || { vcpu a 0; false; }; }
check "vcpu-pin: seen in vcpu-list" within 3 runs_on $last_cpu
xl vcpu-pin a 0 0
xl vcpu-pin a 1 0
check "vcpu-pin: it runs on CPU 0" within 3 runs_on 0
check "vcpu-pin: soft affinity" xl vcpu-pin a 1 all $last_cpu
check "vcpu-pin: soft affinity read back" equal "$(vcpu a 1 | sed 's/.* \(all .*[^ ]\) *$/\1/')" "all / $last_cpu"
xl vcpu-pin a all all all
idle
check "vcpu-set 1" xl vcpu-set a 1
check "vcpu-set 1: the guest has one" within 10 answers a 'echo cpus=$(nproc)' 'cpus=1' 1
offline() { vcpu a 1 | grep -q -e ' --p ' || { vcpu a 1; false; }; }
check "vcpu-set 1: vcpu-list says so" within 5 offline
check "vcpu-set 2" xl vcpu-set a 2
# Without udev nobody puts a CPU on-line that Linux has found.
online='echo 1 >/sys/devices/system/cpu/cpu1/online; echo cpus=$(nproc)'
check "vcpu-set 2: the guest has two" within 10 answers a "$online" 'cpus=2' 1

# --- scheduler ---
check "sched-credit2: set" xl sched-credit2 -d a -w 512 -c 50
credit() { xl sched-credit2 -d a | awk '$1 == "a" { print $3, $4 }'; }
check "sched-credit2: weight and cap read back" equal "$(credit)" "512 50"
check "sched-credit2: cap off" xl sched-credit2 -d a -w 256 -c 0
check "sched-credit2: read back" equal "$(credit)" "256 0"

# --- memory ---
kib='echo kib=$(cat /sys/devices/system/xen_memory/xen_memory0/info/current_kb)'
check "mem-set down" xl mem-set a 96
less() { [ "$(megabytes a)" -le 96 ] || { megabytes a; false; }; }
check "mem-set down: in list" within 10 less
check "mem-set down: in the guest" answers a "$kib" 'kib=9[0-9]\{4\}[^0-9]'
check "mem-set up" xl mem-set a 128
greater() { [ "$(megabytes a)" -ge 127 ] || { megabytes a; false; }; }
check "mem-set up: in list" within 10 greater
check "mem-set up: in the guest" answers a "$kib" 'kib=1[23][0-9]\{4\}[^0-9]'

# --- console: xl wants a terminal, so telnetd gives it one ---
printf '#!/bin/sh\nexec xl console a\n' >/tmp/console.sh
chmod +x /tmp/console.sh
telnetd -F -b 127.0.0.1 -p 2323 -l /tmp/console.sh &
telnetd=$!
typed() { # again until it is answered: both ends take their time to start
    for try in 1 2 3 4 5 6; do
        sleep 1
        echo 'echo answer=$((6 * 7))'
        within 3 grep -q 'answer=42' /tmp/console && return
    done
}
sleep 1
typed | timeout 30 nc 127.0.0.1 2323 >/tmp/console
kill $telnetd
check "console: a typed command is answered" holds 'answer=42' /tmp/console

# --- names, times ---
check "domid" equal "$(xl domid a)" 1
check "domname" equal "$(xl domname 1)" a
check "rename" xl rename a b
check "rename: the new name" equal "$(xl domid b)" 1
check "rename: not the old one" gone a
xl rename b a
xl uptime >/tmp/uptime
check "uptime" holds '^a  *1  *0:0[0-9]:[0-9][0-9]' /tmp/uptime
check "uptime: dom0" holds '^Domain-0  *0  *0:0[0-9]:[0-9][0-9]' /tmp/uptime
TERM=vt100 xentop -b -i 1 >/tmp/top
check "xentop: the guest" holds '^  *a --' /tmp/top
check "xentop: dom0" holds 'Domain-0 --' /tmp/top

# --- the core's messages ---
xl dmesg >/tmp/before
check "dmesg: the start is in it" grep -q 'dom0' /tmp/before
check "debug-keys" xl debug-keys h
xl dmesg >/tmp/after
check "debug-keys: the answer is in dmesg" equal "$(grep -c "'q'" /tmp/after)" $(($(grep -c "'q'" /tmp/before) + 1))

# --- shutdown and reboot ---
check "reboot" xl reboot a
new_id() { [ "$(xl domid a)" -gt 1 ]; }
check "reboot: a new domain id" within 30 new_id
twice_up() { [ "$(grep -c 'userspace after' $LOGS/guest-a.log)" = 2 ]; }
check "reboot: up again" within 60 twice_up
check "shutdown -w" timeout 60 xl shutdown -w a
check "shutdown: gone" within 10 gone a
check "create" xl create -q /tmp/a.cfg
runs() { state a | grep -q '^[r-][b-]----$' || { state a; false; }; }
check "create: runs" runs
check "destroy" xl destroy a
check "destroy: gone" within 10 gone a
check "no frame is left" within 10 same_owners
check_kernels
