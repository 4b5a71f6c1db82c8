# SPDX-License-Identifier: Apache-2.0
# A storage driver domain: an unmodified guest kernel drives NVMe and virtio disks
# and serves one to each of two guests.  It is destroyed and started again: the
# disks are served again, and hold what was written.
# run: soak=y cpus=2 time=800 mib=32 core=driver-domain=11111111-2222-3333-4444-555555555555,00:08.0,00:09.0
# qemu: -drive if=none,id=n,format=raw,file={64M} -device nvme,drive=n,serial=n,addr=8
# qemu: -drive if=none,id=b,format=raw,file={64M} -device virtio-blk-pci,drive=b,disable-legacy=on,addr=9,{iommu}
. /test/lib.sh

driver stor 160
start() {
    at=$(cat $LOGS/guest-stor.log 2>/dev/null | wc -c)
    xl create -q /tmp/stor.cfg && within 60 said_since stor "$at" "driver domain: userspace"
}
# What a guest of that name has for a disk.
disk() {
    case $1 in
    g1) echo "format=raw,vdev=xvda,access=rw,backend=stor,target=/dev/nvme0n1" ;;
    g2) echo "format=raw,vdev=xvda,access=rw,backend=stor,target=/dev/vda" ;;
    esac
}
check "dom0 does not see the disks" sh -c '! ls /sys/block | grep -E "nvme|vd"'
check "the driver domain is up" start
for g in g1 g2; do
    guest $g "disk = [\"$(disk $g)\"]"
    check "$g is created" xl create -q /tmp/$g.cfg
done
for g in g1 g2; do check "$g is up" is_up $g; done

# --- both at the same time ---

for g in g1 g2; do
    enter $g "mkfifo /pipe; dd of=/dev/xvda obs=1M oflag=direct </pipe 2>/dev/null & dd if=/dev/urandom bs=1M count=$mib 2>/dev/null | tee /pipe | md5sum >/sum; wait; echo writ""ten"
done
for g in g1 g2; do check "$g: $mib MiB written" within 60 said $g '^written'; done
read_all="dd if=/dev/xvda bs=1M count=$mib iflag=direct 2>/dev/null | md5sum | cmp - /sum && echo sa\"\"me"
for g in g1 g2; do check "$g: what is read is what was written" answers $g "$read_all" same 60; done
answers stor 'awk "/nvme0q1|virtio0-req/ && \$2 > 0 { n++ } END { print \"disks=\" n }" /proc/interrupts' 'disks=2' >/tmp/out
check "the disks interrupt the driver domain" equal "$(cat /tmp/out)" ""

# --- it dies, and comes back ---

check "xl destroy" xl destroy stor
check "it is gone" within 20 gone stor
check "the driver domain is up again" start
for g in g1 g2; do
    check "$g: the old disk is taken" xl block-detach $g xvda --force
    check "$g: the old disk is gone" answers $g 'sleep 1; ls /sys/block | grep -c xvda | sed s/^/disks=/' disks=0
    check "$g: a new one" xl block-attach $g "$(disk $g)"
    check "$g: its disk holds what was written" answers $g "sleep 1; $read_all" same 60
done

# --- the machine ---

for g in g1 g2 stor; do xl destroy $g; done
no_faults() { ! xl dmesg | grep -E 'IOMMU: device'; }
check "no device was refused a page" no_faults
check_kernels
