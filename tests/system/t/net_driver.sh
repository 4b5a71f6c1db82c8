# SPDX-License-Identifier: Apache-2.0
# A network driver domain: an unmodified guest kernel drives an e1000e and serves
# coke and pepsi.  It is destroyed and started again: their connections go on.
# run: soak=y time=1000 iommu=intel-iommu core=driver-domain=11111111-2222-3333-4444-555555555555,01:00.0
# qemu: -netdev hubport,hubid=1,id=v -device virtio-net-pci,netdev=v,romfile=,disable-legacy=on,{iommu}
# qemu: -device pcie-root-port,id=rp,chassis=1,slot=1
# qemu: -netdev hubport,hubid=1,id=e -device e1000e,netdev=e,bus=rp,romfile=
# qemu: -drive if=none,id=d,format=raw,snapshot=on,file={disk.img}
# qemu: -device virtio-blk-pci,drive=d,disable-legacy=on,{iommu}
. /test/lib.sh

within 10 test -b /dev/vda >/dev/null
mount -t ext4 /dev/vda /mnt
for name in coke pepsi; do
    mkdir -p /run/$name
    mount -t ext4 -o loop,ro /mnt/$name.img /run/$name
    md5sum </run/$name/www/data >/run/$name.sum
    umount /run/$name
done
check "dom0 does not see the card" sh -c '! ls /sys/bus/pci/devices | grep ^0000:01:'

# --- the driver domain and its guests ---

driver net 128
check "the driver domain is created" xl create -q /tmp/net.cfg
check "the driver domain is up" within 60 said_since net 0 "driver domain: userspace"
check "its driver has the card" within 20 said net 'eth0: NIC Link is Up'
number=21
for name in coke pepsi; do
    grep -v '^vif' /etc/xen/$name.cfg >/tmp/$name.cfg
    echo "vif = [\"mac=00:16:3e:00:00:$number,bridge=xenbr0,backend=net\"]" >>/tmp/$name.cfg
    check "$name is created" xl create -q /tmp/$name.cfg
    number=$((number + 1))
done
for name in coke pepsi; do check "$name serves" within 60 said $name "serving at"; done
page() { timeout 5 wget -q -O - "http://10.0.2.$1/data" | md5sum | cmp - "/run/$2.sum"; }
check "coke's page comes through the driver domain" within 30 page 21 coke
check "pepsi's page comes through the driver domain" within 30 page 22 pepsi
check "a flood of pings" /bin/ping -f -q -w 30 -c 300 -s 1400 10.0.2.21
answers net 'awk "/eth0-rx/ { print \"rx=\" \$2 }" /proc/interrupts' 'rx=[1-9]' >/tmp/out
check "the card interrupts the driver domain" equal "$(cat /tmp/out)" ""

# --- it dies, and comes back: a connection of each guest goes on, when TCP tries
# again (after twice the time that it tried before) ---

for name in coke pepsi; do
    enter $name 'n() { i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); echo $i; usleep 100000; done; }; while :; do n | nc -l -p 7000; done &'
done
sleep 2
# Without a program nc hangs up when its own input ends.
nc 10.0.2.21 7000 -e sh -c 'cat >/run/coke.lines' &
nc 10.0.2.22 7000 -e sh -c 'cat >/run/pepsi.lines' &
lines() { [ "$(wc -l <"/run/$1.lines")" -gt "$2" ] || { echo "$(wc -l <"/run/$1.lines") lines"; false; }; }
check "coke's connection" within 10 lines coke 5
check "pepsi's connection" within 10 lines pepsi 5
check "xl destroy" xl destroy net
check "it is gone" within 10 gone net
at=$(wc -c <$LOGS/guest-net.log)
check "the driver domain is created again" xl create -q /tmp/net.cfg
refused "coke cannot be reached" page 21 coke
check "the driver domain is up again" within 60 said_since net "$at" "driver domain: userspace"
number=21
for name in coke pepsi; do
    check "$name: the old card is taken" xl network-detach $name 0
    check "$name: a new card" xl network-attach $name mac=00:16:3e:00:00:$number bridge=xenbr0 backend=net
    number=$((number + 1))
done
for name in coke pepsi; do
    had=$(wc -l </run/$name.lines)
    check "$name's connection goes on" within 220 lines $name $((had + 20))
    seq "$(($(wc -l </run/$name.lines) - 2))" >/run/should
    check "$name: no line was lost" sh -c "head -n $(wc -l </run/should) /run/$name.lines | cmp - /run/should"
done
check "coke's page comes again" within 30 page 21 coke
check "pepsi's page comes again" within 30 page 22 pepsi
for name in coke pepsi net; do check "$name is destroyed" xl destroy $name; done
check_kernels
