# SPDX-License-Identifier: Apache-2.0
# Guests come and go; every frame is accounted for in the end.
# run: time=300 rounds=20
. /test/lib.sh

dd if=/dev/zero of=/run/disk bs=1M count=4 2>/dev/null
guest full 'disk = ["/run/disk,raw,xvda,w"]' 'vif = ["bridge=xenbr0"]'
guest small

# One with a disk and a card that gets to its shell.
full_life() { xl create -q /tmp/full.cfg && is_up full && xl destroy full; }
# dom0's tables for what it maps of guests stay with it: the first is not
# counted.
full_life
sleep 2
remember_memory
done=0
while [ $done -lt "$rounds" ]; do
    xl create -q -p /tmp/small.cfg && xl unpause small && xl destroy small || break
    done=$((done + 1))
done
check "$rounds guests created and destroyed" equal $done "$rounds"
check_memory "all memory is back"
check "a guest with disk and network" full_life
check_memory "all memory is back after it"
check "only dom0 is left" equal "$(xl list | wc -l)" 2
check_kernels
