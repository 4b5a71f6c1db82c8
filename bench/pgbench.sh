# SPDX-License-Identifier: Apache-2.0
# In dom0: a guest of 256 MiB with PostgreSQL's disk (bench/postgres.py), which is dom0's
# own, makes its database (what=make) or does `what` transactions of each of two clients.
. /jobs/lib
log=/var/log/xen/console/guest-a.log
config a 256 'disk = [ "phy:/dev/vda,xvdb,w" ]'
xl create -q /tmp/a.cfg && wait_for a "userspace after" 120 || echo "dom0: FAILED: the guest"
tell a "mkdir /pg; mount -t ext4 /dev/xvdb /pg && mount -t devtmpfs dev /pg/dev && mount -t proc proc /pg/proc && chroot /pg /work start"
wait_for a "^work: started" 1500 || echo "dom0: FAILED: PostgreSQL"
if [ "$what" = make ]; then
    tell a "chroot /pg /work stop; umount /pg/dev /pg/proc /pg && echo clo''sed"
    wait_for a "^closed" 300 || echo "dom0: FAILED: the disk"
else
    begin_work a "chroot /pg /work $what"
    wait_for a "^tps = " 800 || echo "dom0: FAILED: no transactions"
    end_work
    grep "actually processed: $((2 * what))/$((2 * what))" $log || echo "dom0: FAILED: not all of them"
fi
if grep -q "work: FAILED" $log; then
    echo "dom0: FAILED: see the guest's console"
    tail -n 40 $log
fi
echo "dom0: pgbench done"
