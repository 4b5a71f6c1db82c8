# SPDX-License-Identifier: Apache-2.0
# In dom0: a guest of `memory` MiB, one vCPU, that looks at its clock all the time, is
# migrated `times` times on this machine.  For each: the seconds that took, and the
# longest that the guest's clock stood between two looks.
. /jobs/lib
ln -s guest-a.log /var/log/xen/console/guest-a--incoming.log
config a "$memory"
xl create -q /tmp/a.cfg && wait_for a "userspace after" 120 || echo "dom0: FAILED: the guest"
tell a 'n() { read u _ </proc/uptime; now=${u%.*}${u#*.}; now=$((${now#0})); }'
tell a '(n; old=$now; echo 0 >/gap; while :; do n; [ $((now - old)) -le $(cat /gap) ] || echo $((now - old)) >/gap; old=$now; usleep 20000; done) & echo tick''ing'
wait_for a "^ticking" 30 || echo "dom0: FAILED: it does not tick"
for i in $(seq "$times"); do
    tell a 'echo 0 >/gap'
    sleep 2
    from=$(now)
    xl migrate -s '' a 'xl migrate-receive' >/tmp/out 2>&1 || { echo "dom0: FAILED: migration"; tail -n 3 /tmp/out; }
    to=$(now)
    sleep 2
    tell a "echo gap$i=\$(cat /gap)"
    wait_for a "^gap$i=[0-9]" 30 || echo "dom0: FAILED: the guest does not go on"
    echo "migration $i: $(echo "$to $from" | awk '{ print $1 - $2 }') s, blackout $(sed -n "s/^gap$i=\([0-9]*\).*/\1/p" /var/log/xen/console/guest-a.log)0 ms"
done
echo "dom0: migrate done"
