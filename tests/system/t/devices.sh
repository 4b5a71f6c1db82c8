# SPDX-License-Identifier: Apache-2.0
# Disks and network cards come and go; what the core maps meanwhile.
# run: time=200
. /test/lib.sh

guest a 'vcpus = 1'
xl create -q /tmp/a.cfg
check "the guest is up" is_up a

# --- a disk ---
dd if=/dev/zero of=/run/disk bs=1M count=4 2>/dev/null
printf 'from dom0' | dd of=/run/disk conv=notrunc 2>/dev/null
check "block-attach" xl block-attach a 'format=raw,vdev=xvdb,access=rw,target=/run/disk'
check "block-attach: the guest reads it" answers a 'dd if=/dev/xvdb bs=9 count=1 2>/dev/null; echo' 'from dom0'
check "block-attach: the guest writes" answers a 'echo from-guest | dd of=/dev/xvdb conv=fsync 2>/dev/null; echo written=$((1 + 1))' 'written=2'
check "block-attach: dom0 sees what it wrote" grep -q from-guest /run/disk
xl block-list a >/tmp/list
check "block-list" holds '^51728 ' /tmp/list
check "block-detach" xl block-detach a xvdb
check "block-detach: the guest's disk is gone" within 10 answers a 'echo disks=$(ls /sys/block | grep -c xvd)' 'disks=0' 1

# --- a network card ---
check "network-attach" xl network-attach a mac=00:16:3e:00:00:31 bridge=xenbr0
up='ip link set eth0 up && ip address add 10.0.2.31/24 dev eth0; echo cards=$(ls /sys/class/net | grep -c eth0)'
check "network-attach: the guest has it" answers a "$up" 'cards=1'
check "network-attach: the guest reaches dom0" answers a 'echo replies=$(ping -c 3 10.0.2.15 | grep -c "bytes from")' 'replies=3' 20
check "network-attach: dom0 reaches the guest" ping -c 2 -s 1400 10.0.2.31
xl network-list a >/tmp/list
check "network-list" holds '00:16:3e:00:00:31' /tmp/list

# --- the core's own mappings (Insula only): registered pages, nothing else ---
mappings() {
    xl debug-keys v
    xl dmesg | awk '/debug key .v./ { text = ""; next } { text = text "\n" $0 }
        END { print text }' | sed -n 's/.*(core) \[[^]]*\] //p'
}
pages_of() { grep -c "registered pages\{0,1\} of d$1\$" /tmp/maps; }
known='^image .* all the core.s$|: mfn [0-9a-f]*, 1 registered page of d[01]$|: mfn [0-9a-f]*, 1 page of device registers$|^  CPU[0-9]*: 0 windows open$'
only_known() { grep . /tmp/maps >/dev/null && ! grep -Ev "$known" /tmp/maps; }
few() { [ "$1" -ge 1 ] && [ "$1" -le 3 ] || { echo "$1 pages"; false; }; }
if [ "$HV" = insula ]; then
    mappings >/tmp/maps
    check "debug key v: nothing but registered pages is mapped" only_known
    # vcpu_info, run states and the time: at most three a vCPU.
    check "debug key v: few pages of the guest" few "$(pages_of 1)"
fi

check "network-detach" xl network-detach a 0
check "network-detach: the guest's card is gone" within 10 answers a 'echo cards=$(ls /sys/class/net | grep -c eth0)' 'cards=0' 1
xl destroy a
if [ "$HV" = insula ]; then
    mappings >/tmp/maps
    check "debug key v: no page of the dead guest" equal "$(pages_of 1)" 0
fi
check_kernels
