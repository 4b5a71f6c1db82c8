# SPDX-License-Identifier: Apache-2.0
# In dom0: a guest moves `mib` MiB each way through blkback (kind=disk; the disk is
# dom0's memory) or netback (kind=net; to and from dom0 itself), or only reads them
# through blkback (kind=read).
. /jobs/lib
config a 128 'disk = [ "phy:/dev/loop0,xvda,w" ]' 'vif = [ "mac=00:16:3e:00:00:31,bridge=xenbr0" ]'
dd if=/dev/zero of=/run/disk bs=1M count=256 2>/dev/null
losetup /dev/loop0 /run/disk
xl create -q /tmp/a.cfg && wait_for a "userspace after" 120 || echo "dom0: FAILED: the guest"
read="dd if=/dev/xvda of=/dev/null bs=1M count=$mib iflag=direct"
case $kind in
disk) work="dd if=/dev/zero of=/dev/xvda bs=1M count=$mib oflag=direct && $read && echo mo''ved" ;;
read) work="$read && echo mo''ved" ;;
net) # without a program nc hangs up when its own input ends
    bytes=$((mib * 1048576))
    nc -l -p 7000 -e sh -c 'wc -c >/tmp/came' &
    nc -l -p 7001 -e dd if=/dev/zero bs=1M count="$mib" &
    tell a "ip link set eth0 up; ip address add 10.0.2.31/24 dev eth0"
    work="nc 10.0.2.15 7000 -e dd if=/dev/zero bs=1M count=$mib; nc 10.0.2.15 7001 -e sh -c 'wc -c >/came'; grep -x $bytes /came && echo mo''ved" ;;
esac
begin_work a "$work"
wait_for a "^moved" 700 || echo "dom0: FAILED: not moved"
end_work
[ "$kind" != net ] || [ "$(cat /tmp/came)" = $bytes ] || echo "dom0: FAILED: $(cat /tmp/came) came from it"
echo "dom0: move done"
