# SPDX-License-Identifier: Apache-2.0
# In dom0: so many guests of 128 MiB that do nothing, for 90 seconds.
. /jobs/lib
for n in $(seq "$guests"); do
    config "g$n" 128
    xl create -q "/tmp/g$n.cfg" || echo "dom0: FAILED: guest $n"
    wait_for "g$n" "userspace after" 120 || echo "dom0: FAILED: guest $n did not start"
done
sleep 90
echo "dom0: idle done"
