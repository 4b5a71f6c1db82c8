# SPDX-License-Identifier: Apache-2.0
# Save and restore, checkpoint, live migration on one machine: of guests with 1,
# 2 and 4 vCPUs, ballooned down, that write data with checksums to memory and
# disk and hold a TCP connection.
# run: soak=y cpus=2 time=900
# guests=4: only those with 4 vCPUs
. /test/lib.sh

# The migrated guest's console goes on in the same log.
ln -s guest-m.log $LOGS/guest-m--incoming.log

# What the guest's shell is told.  back FILE: what is on the disk now.  differ FILE:
# where that is not what was written.
back='back() { echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/xvda of=$1 bs=64k count=16; }'
differ='differ() { cmp -l /w $1 | awk "NR == 1 { first = \$1 } { last = \$1 } END { print NR \" differ from \" first \" to \" last }"; wc -c <$1; }'
killed='killed() { dmesg | grep -E "segfaul[t]|Kille[d]" | tail -n 1; free | grep Mem; }'
compare='compare() { cmp -s /w /r && return; e=$?; back /again; echo "cmp: $e, read:" $(differ /r), again: $(differ /again), $(killed) >>/bad; }'
load='(while :; do dd if=/dev/urandom of=/w bs=64k count=16; dd if=/w of=/dev/xvda bs=64k conv=fsync; back /r; compare; echo >>/rounds; done) 2>/dev/null &'
clock='(old=0; while :; do read now _ </proc/uptime; now=${now%.*}${now#*.}; [ $now -ge $old ] || echo back from $old to $now >>/bad; old=$now; usleep 20000; done) &'
network='ip link set eth0 up; ip address add 10.0.2.32/24 dev eth0; (nc -l -p 7 -e cat </dev/null) &'

start() { # start VCPUS
    rm -f $LOGS/guest-m.log /run/disk /tmp/echoed
    dd if=/dev/zero of=/run/disk bs=1M count=4 2>/dev/null
    guest m "vcpus = $1" 'memory = 176' 'disk = ["format=raw,vdev=xvda,access=rw,target=/run/disk"]' \
        'vif = ["mac=00:16:3e:00:00:32,bridge=xenbr0"]'
    xl create -q /tmp/m.cfg
    check "$1 vCPUs: the guest is up" is_up m
    enter m "dmesg -n 1" # its messages would break the answers
    enter m "$network"
    enter m 'dd if=/dev/urandom of=/big bs=1M count=20 2>/dev/null; md5sum /big >/big.sum'
    check "$1 vCPUs: its data is there" answers m 'ls /big.sum; echo made=$((1 + 1))' 'made=2' 30
    xl mem-set m 150
    for text in "$back" "$differ" "$killed" "$compare" "$load" "$clock"; do
        enter m "$text"
    done
    within 10 ping -c 1 10.0.2.32 >/dev/null
    (n=0; while [ -d /proc/self ] && [ $n -lt 100000 ]; do n=$((n + 1)); echo "line $n"; usleep 100000; done) 2>/dev/null |
        nc 10.0.2.32 7 >/tmp/echoed &
    connection=$!
    within 10 grep -q 'line 5' /tmp/echoed
}

rounds() { wc -l </tmp/echoed; }
more_than() { [ "$(rounds)" -gt "$1" ] || { echo "$1 lines came back, no more"; false; }; }
in_order() { awk '$2 != NR { print "line " NR " is: " $0; exit 1 }' /tmp/echoed; }

# good NAME: the guest works, lost nothing, and its connection goes on.
good() {
    check "$1: it answers" answers m 'echo alive=$((20 + 1))' 'alive=21' 30
    check "$1: its memory is whole" answers m 'md5sum -c /big.sum; echo checked' '/big: OK' 20
    check "$1: nothing was wrong" answers m 'echo "bad: $(cat /bad 2>/dev/null | wc -l)"; cat /bad' 'bad: 0'
    now=$(rounds)
    check "$1: its connection goes on" within 20 more_than "$now"
    check "$1: nothing is missing from it" in_order
    check "$1: its clock runs" answers m 'date >/d; sleep 1; date | cmp -s - /d || echo clock=$((1 + 1))' 'clock=2'
}

# dom0's own tables (ports, mapped grants: by queue, so by vCPU) grow once.
start 4
xl save m /run/image && xl restore /run/image
xl destroy m
kill $connection 2>/dev/null
rm -f /run/image

for vcpus in ${guests-1 2 4}; do
    remember_memory
    start $vcpus

    check "$vcpus vCPUs: save" xl save m /run/image
    check "$vcpus vCPUs: saved, it is gone" within 10 gone m
    check_memory "$vcpus vCPUs: saved, its memory is free"
    check "$vcpus vCPUs: restore" xl restore /run/image
    good "$vcpus vCPUs, restored"

    check "$vcpus vCPUs: save -c" xl save -c m /run/image
    good "$vcpus vCPUs, saved in place"

    check "$vcpus vCPUs: migrate" xl migrate -s '' m 'xl migrate-receive'
    good "$vcpus vCPUs, migrated"
    check "$vcpus vCPUs: it has its vCPUs" answers m 'echo cpus=$(grep -c ^processor /proc/cpuinfo)' "cpus=$vcpus"
    check "$vcpus vCPUs: one domain is left" equal "$(xl list | wc -l)" 3
    xl destroy m
    kill $connection 2>/dev/null
    rm -f /run/image
    check_memory "$vcpus vCPUs: all memory comes back"
done
check_kernels
