# SPDX-License-Identifier: Apache-2.0
# insula-checkpoint: many checkpoints of a busy guest; its source is killed in
# the midst of one; the last whole one runs on, with consistent data.
# run: soak=y cpus=1 time=600 rounds=200
. /test/lib.sh
. /test/moving.sh

# Nothing outside of the guest: that is not taken back with it.
load='(while :; do dd if=/dev/urandom of=/w bs=64k count=4; md5sum /w >/w.sum; md5sum -c /w.sum || echo bad >>/bad; echo >>/rounds; done) >/dev/null 2>&1 &'

start_alone() {
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

works() { # works NAME
    whole "$1" 1
    check "$1: it works on" answers m 'a=$(wc -l </rounds); sleep 3; [ $(wc -l </rounds) -gt $a ] && echo on=$((1 + 1))' 'on=2' 60
}

# How many checkpoints were reported.
reported() { grep -c '^checkpoint' /tmp/out; }
ended() { case $(cat /proc/"$1"/stat 2>/dev/null) in '' | *') Z '*) ;; *) false ;; esac; }
at_least() { [ "$(reported)" -ge "$1" ]; }

# dom0's own tables grow to what a checkpoint needs once.
start_alone
insula-checkpoint save -i 0 -n 2 m /run/file >/tmp/out 2>&1
xl destroy m
remember_memory

start_alone
insula-checkpoint save -i 50 -n "$rounds" m /run/file >/tmp/out 2>&1
check "$rounds checkpoints" equal "$? $(reported)" "0 $rounds"
grep '^checkpoint' /tmp/out | sed -n '1p;2p;$p'
works "afterwards"
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
works "restored"

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
works "its target was killed"
xl destroy m
within 10 gone m >/dev/null
check "restore of what was sent" insula-checkpoint restore /run/second
works "restored again"
xl destroy m
rm -f /run/second
check_memory "all memory is back"
check_kernels
