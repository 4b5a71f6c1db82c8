# SPDX-License-Identifier: Apache-2.0
# insula-checkpoint: many checkpoints of a busy guest; its source is killed in
# the midst of one; the last whole one runs on, with consistent data.
# run: soak=y cpus=1 time=600 rounds=200
. /test/lib.sh

# The restored guest's console goes on in the same log.
ln -s guest-m.log $LOGS/guest-m--incoming.log
load='(while :; do dd if=/dev/urandom of=/w bs=64k count=4; md5sum /w >/w.sum; md5sum -c /w.sum || echo bad >>/bad; echo >>/rounds; done) >/dev/null 2>&1 &'
clock='(old=0; while :; do read now _ </proc/uptime; now=${now%.*}${now#*.}; [ $now -ge $old ] || echo back >>/bad; old=$now; usleep 20000; done) &'

start() {
    rm -f $LOGS/guest-m.log
    guest m 'vif = ["mac=00:16:3e:00:00:32,bridge=xenbr0"]'
    xl create -q /tmp/m.cfg
    check "the guest is up" is_up m
    enter m 'dmesg -n 1'
    enter m 'dd if=/dev/urandom of=/big bs=1M count=8 2>/dev/null; md5sum /big >/big.sum'
    check "its data is there" answers m 'ls /big.sum; echo made=$((1 + 1))' 'made=2' 60
    enter m "$load"
    enter m "$clock"
}

good() {
    check "$1: it answers" answers m 'echo alive=$((20 + 1))' 'alive=21' 60
    check "$1: its memory is whole" answers m 'md5sum -c /big.sum; echo checked' '/big: OK' 60
    check "$1: nothing was wrong" answers m 'echo "bad: $(cat /bad 2>/dev/null | wc -l)"' 'bad: 0' 20
    check "$1: it works on" answers m 'a=$(wc -l </rounds); sleep 3; [ $(wc -l </rounds) -gt $a ] && echo on=$((1 + 1))' 'on=2' 60
}

# lines FROM: how many checkpoints were reported.
reported() { grep -c '^checkpoint' /tmp/out; }
ended() { case $(cat /proc/"$1"/stat 2>/dev/null) in '' | *') Z '*) ;; *) false ;; esac; }
at_least() { [ "$(reported)" -ge "$1" ]; }

# dom0's own tables grow to what a checkpoint needs once.
start
insula-checkpoint save -i 0 -n 2 m /run/file >/tmp/out 2>&1
xl destroy m
remember_memory

start
insula-checkpoint save -i 50 -n "$rounds" m /run/file >/tmp/out 2>&1
check "$rounds checkpoints" equal "$? $(reported)" "0 $rounds"
grep '^checkpoint' /tmp/out | sed -n '1p;2p;$p'
good "afterwards"
size=$(stat -c %s /run/file)
check "the file does not grow on" [ "$size" -lt $((300 << 20)) ]

insula-checkpoint save -i 50 m /run/file 2>/tmp/out &
saver=$!
check "ten more" within 120 at_least 10
kill -9 $saver
xl destroy m
check "it is gone" within 10 gone m
dd if=/run/file of=/run/cut bs=64k count=20 2>/dev/null
refused "a file without a whole checkpoint is refused" insula-checkpoint restore /run/cut
rm /run/cut
within 10 gone m >/dev/null
check "restore" insula-checkpoint restore /run/file
good "restored"

# By way of a socket; the target is killed, the source lives.
insula-checkpoint receive 7777 /run/second 2>/tmp/received &
receiver=$!
sleep 1
rm -f /run/file
insula-checkpoint save -i 50 m 127.0.0.1:7777 >/tmp/out 2>&1 &
saver=$!
check "checkpoints by a socket" within 120 at_least 5
kill -9 $receiver
check "without a target it ends" within 30 ended $saver
good "its target was killed"
xl destroy m
within 10 gone m >/dev/null
check "restore of what was sent" insula-checkpoint restore /run/second
good "restored again"
xl destroy m
rm -f /run/second
check_memory "all memory is back"
check_kernels
