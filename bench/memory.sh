# SPDX-License-Identifier: Apache-2.0
# What a guest costs of the core's own memory, beside its nested page tables: the
# difference that `guests` idle ones make, of 128 MiB each, with a console.
. /jobs/lib

# Frames of the core's that are no nested page tables.
own() {
    xl debug-keys m
    xl dmesg | awk '/debug key .m./ { tables = 0 } / core$/ { core = $(NF - 1) }
        /p2m tables/ { tables += $NF } END { print core - tables }'
}

# dom0's own tables grow with the first.
config first 128
xl create -q /tmp/first.cfg
wait_for first "userspace after" 60 || echo "dom0: FAILED: the first guest"
before=$(own)
for n in $(seq "$guests"); do
    config "g$n" 128
    xl create -q "/tmp/g$n.cfg" || echo "dom0: FAILED: guest $n"
done
for n in $(seq "$guests"); do
    wait_for "g$n" "userspace after" 120 || echo "dom0: FAILED: guest $n"
done
echo "memory per guest: $((($(own) - before) * 4 / guests)) KiB"
echo "dom0: memory done"
