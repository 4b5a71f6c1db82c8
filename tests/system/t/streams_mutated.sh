# SPDX-License-Identifier: Apache-2.0
# Saved guests whose streams were mutated are restored: the core stays up and all
# memory comes back.
# run: program=mutate_streams rounds=500 seed=1 first=1 time=300
. /test/lib.sh

guest m 'vcpus = 2'
xl create -q /tmp/m.cfg
check "the guest is up" is_up m
check "save" xl save m /run/image
within 10 gone m >/dev/null
/test/mutate_streams /run/image 0 1 20 >/dev/null # dom0's tables grow to what it needs once
remember_memory
/test/mutate_streams /run/image "$seed" "$first" "$rounds" >/run/out 2>&1
rc=$?
grep -vE '^(xc|stream [0-9]+$)' /run/out
check "$rounds mutated streams: all memory is back after each" [ $rc = 0 ]
check_memory "each owner's memory is as before"
check "only dom0 is left" equal "$(xl list | wc -l)" 2
check "the stream as it was saved" xl restore /run/image
check "it answers" answers m 'echo alive=$((20 + 1))' 'alive=21' 60
xl destroy m
dmesg >/tmp/dmesg
check "dom0's kernel has no complaint" complaints /tmp/dmesg
