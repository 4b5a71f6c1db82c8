# SPDX-License-Identifier: Apache-2.0
# Save and restore, checkpoint, live migration on one machine: of guests with 1,
# 2 and 4 vCPUs, ballooned down, that write data with checksums to memory and
# disk and hold a TCP connection.
# run: soak=y cpus=2 time=1800 accel=tcg,thread=single
# The CPUs take turns: QEMU's SVM lets one spoil the other (docs/testing.md).
# guests=4: only those with 4 vCPUs
. /test/lib.sh
. /test/moving.sh

# dom0's own tables (ports, mapped grants: by queue, so by vCPU) grow once, to
# what two guests need at a time.
start 4 /run/disk
xl save m /run/image && xl restore /run/image && xl migrate -s '' m 'xl migrate-receive'
xl destroy m
kill $connection 2>/dev/null
rm -f /run/image /run/disk

for vcpus in ${guests-1 2 4}; do
    remember_memory
    start "$vcpus" /run/disk

    check "$vcpus vCPUs: save" xl save m /run/image
    check "$vcpus vCPUs: saved, it is gone" within 10 gone m
    check_memory "$vcpus vCPUs: saved, its memory is free"
    check "$vcpus vCPUs: restore" xl restore /run/image
    good "$vcpus vCPUs, restored" "$vcpus"

    check "$vcpus vCPUs: save -c" xl save -c m /run/image
    good "$vcpus vCPUs, saved in place" "$vcpus"

    check "$vcpus vCPUs: migrate" xl migrate -s '' m 'xl migrate-receive'
    good "$vcpus vCPUs, migrated" "$vcpus"
    check "$vcpus vCPUs: one domain is left" equal "$(xl list | wc -l)" 3
    xl destroy m
    kill $connection 2>/dev/null
    rm -f /run/image /run/disk
    check_memory "$vcpus vCPUs: all memory comes back"
done
check_kernels
