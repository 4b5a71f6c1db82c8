# SPDX-License-Identifier: Apache-2.0
# What tests share that save or move a guest m which is at work: it writes data with
# checksums to memory and disk, watches its clock, and holds a TCP connection.  What
# is wrong goes to its /bad.

# A restored guest's console goes on in the same log.
ln -s guest-m.log $LOGS/guest-m--incoming.log

# What its shell is told.  fullblock: a guest that suspends stops its processes, and
# the kernel's random numbers then come short.  back FILE: what is on the disk now.  differ FILE: where
# that is not what was written.
back='back() { echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/xvda of=$1 bs=64k count=16; }'
differ='differ() { cmp -l /w $1 | awk "NR == 1 { first = \$1 } { last = \$1 } END { print NR \" differ from \" first \" to \" last }"; echo of $(wc -c </w) and $(wc -c <$1) bytes; }'
killed='killed() { dmesg | grep -E "segfaul[t]|Kille[d]" | tail -n 1; free | grep Mem; }'
compare='compare() { cmp -s /w /r && return; e=$?; back /again; echo "cmp: $e, read:" $(differ /r), again: $(differ /again), $(killed) >>/bad; }'
load='(while :; do dd if=/dev/urandom of=/w bs=64k count=16 iflag=fullblock; dd if=/w of=/dev/xvda bs=64k conv=fsync; back /r; compare; echo >>/rounds; done) 2>/dev/null &'
clock='(old=0; while :; do read now _ </proc/uptime; now=${now%.*}${now#*.}; [ $now -ge $old ] || echo back from $old to $now >>/bad; old=$now; usleep 20000; done) &'
network='ip link set eth0 up; ip address add 10.0.2.32/24 dev eth0; echo 1 >/proc/sys/net/ipv4/conf/eth0/arp_notify; (nc -l -p 7 -e cat </dev/null) &'

# start VCPUS DISK: m is ballooned down and at work.  guest_clock: its kernel's
# arguments for that.
start() {
    # What the one before said is looked at in the end.
    [ -e $LOGS/guest-m.log ] && mv $LOGS/guest-m.log "$LOGS/guest-m-before-$(date +%s).log"
    rm -f /tmp/echoed
    dd if=/dev/zero of="$2" bs=1M count=4 2>/dev/null
    guest m "vcpus = $1" 'memory = 176' "disk = [\"format=raw,vdev=xvda,access=rw,target=$2\"]" \
        'vif = ["mac=00:16:3e:00:00:32,bridge=xenbr0"]' \
        "cmdline = \"console=hvc0 rdinit=/init ${guest_clock:-}\""
    xl create -q /tmp/m.cfg
    check "$1 vCPUs: the guest is up" is_up m
    enter m "dmesg -n 1" # its messages would break the answers
    enter m "$network"
    enter m 'dd if=/dev/urandom of=/big bs=1M count=20 iflag=fullblock 2>/dev/null; md5sum /big >/big.sum'
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

# whole NAME VCPUS [WORD]: m works and lost nothing.  WORD carries out a command
# where m is.
whole() {
    name=$1 of=$2
    shift 2
    check "$name: it answers" "$@" answers m 'echo alive=$((20 + 1))' 'alive=21' 60
    check "$name: its memory is whole" "$@" answers m 'md5sum -c /big.sum; echo checked' '/big: OK' 60
    check "$name: nothing was wrong" "$@" answers m 'echo "bad: $(cat /bad 2>/dev/null | wc -l)"; cat /bad' 'bad: 0' 20
    check "$name: it has its vCPUs" "$@" answers m 'echo cpus=$(grep -c ^processor /proc/cpuinfo)' "cpus=$of" 20
    check "$name: its clock runs" "$@" answers m 'date >/d; sleep 1; date | cmp -s - /d || echo clock=$((1 + 1))' 'clock=2' 20
}

rounds() { wc -l </tmp/echoed; }
more_than() { [ "$(rounds)" -gt "$1" ] || { echo "$1 lines came back, no more"; false; }; }
in_order() { awk '$2 != NR { print "line " NR " is: " $0; exit 1 }' /tmp/echoed; }

# good NAME VCPUS [WORD]: it is whole, and its connection goes on.
good() {
    whole "$@"
    now=$(rounds)
    check "$1: its connection goes on" within 30 more_than "$now"
    check "$1: nothing is missing from it" in_order
}
