# SPDX-License-Identifier: Apache-2.0
# Configurations that cannot be: xl says so, and nothing is left of them.
# run: time=200
. /test/lib.sh

bad() { # bad WHAT LINE...
    what=$1
    shift
    guest bad "$@"
    refused "$what" timeout 60 xl create -q -p /tmp/bad.cfg
    xl destroy bad 2>/dev/null
}

guest a
# What dom0 needs for good with its first guest is taken now.
xl create -q -p /tmp/a.cfg && xl destroy a
remember_memory

head -c 1000000 /guests/vmlinuz >/tmp/truncated
echo "no kernel at all" >/tmp/text
: >/tmp/empty
bad "no such kernel" 'kernel = "/guests/none"'
bad "kernel is empty" 'kernel = "/tmp/empty"'
bad "kernel is a text" 'kernel = "/tmp/text"'
bad "kernel is truncated" 'kernel = "/tmp/truncated"'
bad "kernel without PVH entry" 'kernel = "/bin/busybox"'
bad "no such initrd" 'ramdisk = "/guests/none"'
bad "more memory than there is" 'memory = 100000'
bad "less memory than the kernel" 'memory = 16'
bad "9999 vCPUs" 'vcpus = 9999'
bad "no such disk" 'disk = ["/run/none,raw,xvda,w"]'
bad "no such bridge" 'vif = ["bridge=none"]'
bad "a type that does not exist" 'type = "box"'
guest a
xl create -q -p /tmp/a.cfg
refused "a name that is taken" xl create -q -p /tmp/a.cfg
check "the guest of that name is unharmed" equal "$(state a)" --p---
xl destroy a
check "only dom0 is left" equal "$(xl list | wc -l)" 2
check_memory "all memory is back"
check_kernels
