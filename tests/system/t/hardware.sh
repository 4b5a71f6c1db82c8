# SPDX-License-Identifier: Apache-2.0
# Devices driven by dom0 behind an IOMMU: each driver binds and gets interrupts;
# guests' disks are raw NVMe and AHCI disks, their cards are bridged to an e1000e.
# run: time=500 iommu=amd-iommu,intel-iommu dom0=insula.ahci mib=64 disk=96M pings=1000
# qemu: -netdev hubport,hubid=1,id=e -device e1000e,netdev=e,romfile=
# qemu: -netdev hubport,hubid=1,id=v -device virtio-net-pci,netdev=v,romfile=,disable-legacy=on,{iommu}
# qemu: -drive if=none,id=n,format=raw,file={disk} -device nvme,drive=n,serial=n
# qemu: -drive if=none,id=a,format=raw,file={disk} -device ide-hd,drive=a,bus=ide.0
# qemu: -drive if=none,id=b,format=raw,file={16M} -device virtio-blk-pci,drive=b,disable-legacy=on,{iommu}
# qemu: -drive if=none,id=u,format=raw,file={16M}
# qemu: -device qemu-xhci -device usb-storage,drive=u -device usb-kbd
. /test/lib.sh

# --- each driver has its device, and its interrupts come ---

bound() { ls -d /sys/bus/"$1"/drivers/"$2"/*:* || ls -d /sys/bus/"$1"/drivers/"$2"/virtio*; }
interrupts() { awk -v name="$1" 'index($0, name) { for (i = 2; $i ~ /^[0-9]+$/; i++) n += $i }
    END { print n + 0 }' /proc/interrupts; }
more_than() { [ "$1" -gt "$2" ] || { echo "$1, not more than $2"; false; }; }
# A random MiB is written to a disk, and is what is read from it.
disk_holds() {
    sum=$(dd if=/dev/urandom bs=64k count=16 2>/dev/null | tee /run/random | md5sum)
    dd if=/run/random of="$1" bs=64k oflag=direct || return 1
    equal "$(dd if="$1" bs=64k count=16 iflag=direct | md5sum)" "$sum"
}
disk() { # name, driver, interrupt, block device
    check "$1: the driver has it" bound pci "$2"
    check "$1: the disk" within 20 test -b "$4"
    before=$(interrupts "$3")
    check "$1: what is written is read" within 5 disk_holds "$4"
    check "$1: interrupts" more_than "$(interrupts "$3")" "$before"
}
disk nvme nvme nvme0q /dev/nvme0n1
disk ahci ahci ahci /dev/sda
# Of the two virtio devices the card is the first.
disk virtio-blk virtio-pci virtio1-req /dev/vda
disk usb-storage xhci_hcd xhci_hcd /dev/sdb
check "keyboard: the driver has it" bound usb usbhid
check "keyboard: its keys" within 5 sh -c 'cat /sys/class/input/input*/name | grep "QEMU USB Keyboard"'
check "e1000e: the driver has it" bound pci e1000e
check "virtio-net: the driver has it" bound virtio virtio_net
before=$(interrupts rtc0)
echo +2 >/sys/class/rtc/rtc0/wakealarm
check "clock: its alarm interrupts" within 5 eval '[ "$(interrupts rtc0)" -gt '"$before ]"

# --- guests' disks ---

number=1
for disk in nvme0n1 sda; do
    guest g$number "disk = [\"phy:/dev/$disk,xvda,w\"]" \
        "vif = [\"mac=00:16:3e:00:00:4$number,bridge=xenbr0\"]"
    xl create -q /tmp/g$number.cfg
    number=$((number + 1))
done
check "guest 1 is up" is_up g1
check "guest 2 is up" is_up g2
for g in g1 g2; do # at the same time
    enter $g "mkfifo /pipe; dd of=/dev/xvda obs=1M oflag=direct </pipe 2>/dev/null & dd if=/dev/urandom bs=1M count=$mib 2>/dev/null | tee /pipe | md5sum >/sum; wait; echo writ""ten"
done
for g in g1 g2; do
    check "$g: $mib MiB written" within $((mib * 3)) said $g '^written'
    enter $g "dd if=/dev/xvda bs=1M count=$mib iflag=direct 2>/dev/null | md5sum | cmp - /sum && cat /sum | sed 's/ .*/=sum/'; echo re""ad"
done
for g in g1 g2; do
    check "$g: $mib MiB read" within $((mib * 3)) said $g '^read'
    check "$g: what was read is what was written" said $g '=sum'
done

# --- guests' cards: a flood of pings from a machine behind the e1000e ---

unshare -n sh -c "sleep 10000; :" &
sleep 1
there=$!
ip link set eth1 netns $there
outside() { nsenter -n -t $there "$@"; }
check "the machine outside" outside sh -c 'ip address add 10.0.2.99/24 dev eth1; ip link set eth1 up'
for n in 1 2; do
    check "g$n: card" answers g$n "ip link set eth0 up && ip address add 10.0.2.4$n/24 dev eth0; echo cards=\$(ls /sys/class/net | grep -c eth0)" 'cards=1'
done
before=$(interrupts eth0)
for n in 1 2; do
    check "g$n: is reached" within 10 outside /bin/ping -q -c 1 -W 1 10.0.2.4$n
    check "g$n: a flood of pings, large ones too" outside /bin/ping -f -q -c "$pings" -s 1400 10.0.2.4$n
    outside /bin/ping -f -q -c "$pings" -s 1400 10.0.2.4$n >/tmp/flood
    check "g$n: no ping is lost" holds ' 0% packet loss' /tmp/flood
done
check "e1000e: interrupts" more_than "$(interrupts eth0)" "$((before + 100))"

# --- the machine ---

xl destroy g1
xl destroy g2
sum() { dd if="/dev/$1" bs=1M count="$mib" iflag=direct 2>/dev/null | md5sum | sed 's/ .*/=sum/'; }
check "dom0 reads the same from nvme" said g1 "$(sum nvme0n1)"
check "dom0 reads the same from ahci" said g2 "$(sum sda)"
check_kernels
no_faults() { ! xl dmesg | grep -E 'IOMMU: device'; }
check "no device was refused a page" no_faults
