# SPDX-License-Identifier: Apache-2.0
# Run by dom0: one guest with a disk and a card; its page comes to dom0.
. /jobs/lib
xl create -q /etc/xen/coke.cfg || echo "not ok xl create"
wait_for coke "userspace after" 600 && echo "ok the guest's userspace"
wait_for coke "serving at" 600 && echo "ok the guest read its disk"
wget -q -O /tmp/page http://10.0.2.21/
if cmp -s /tmp/page /mnt/index.html; then
    echo "ok the guest's page, byte for byte"
else
    echo "not ok the guest's page"
    head -c 300 /tmp/page
fi
xl list
grep -q insula.keep /proc/cmdline && exit 0 # make run PLATFORM=bochs
xl destroy coke
[ "$(xl list | wc -l)" = 2 ] && echo "ok the guest is destroyed"
poweroff -f
