# SPDX-License-Identifier: Apache-2.0
# Four guests of two vCPUs under load of CPU, disk and network, dom0 with them:
# each has to get on in each minute, with no byte wrong and no kernel's
# complaint.
# run: cpus=4 time=1500 soak=y minutes=10
. /test/lib.sh

guests="a b c d"
mkdir -p /run/www
dd if=/dev/urandom of=/run/www/data bs=64k count=4 2>/dev/null
sum=$(md5sum </run/www/data)
cat >/run/www/load.sh <<EOF
mkdir /n
for what in cpu disk net bad; do echo 0 >/n/\$what; done
# Renamed: a reader never finds the file empty.
count() { n=\$((n + 1)); echo \$n >/n/\$1.new; mv /n/\$1.new /n/\$1; }
cpu() {
    n=0
    while :; do
        i=0
        while [ \$i -lt 1000 ]; do i=\$((i + 1)); done
        count cpu
    done
}
disk() {
    n=0
    while :; do
        dd if=/dev/urandom of=/pattern bs=64k count=8 2>/dev/null
        dd if=/pattern of=/dev/xvda bs=64k conv=fsync 2>/dev/null
        echo 3 >/proc/sys/vm/drop_caches
        dd if=/dev/xvda bs=64k count=8 2>/dev/null | cmp - /pattern && count disk || echo 1 >/n/bad
    done
}
net() {
    n=0
    while :; do
        got=\$(wget -q -O - http://10.0.2.15/data | md5sum)
        [ "\$got" = "$sum" ] && count net || echo 1 >/n/bad
    done
}
cpu & disk & net &
EOF
httpd -h /run/www

number=50
for name in $guests; do
    dd if=/dev/zero of=/run/$name.img bs=1M count=4 2>/dev/null
    guest $name 'vcpus = 2' "disk = [\"/run/$name.img,raw,xvda,w\"]" \
        "vif = [\"mac=00:16:3e:00:00:$number,bridge=xenbr0\"]"
    sed -i "s/rdinit/insula.ip=10.0.2.$number rdinit/" /tmp/$name.cfg
    xl create -q /tmp/$name.cfg
    number=$((number + 1))
done
for name in $guests; do
    check "$name is up" within 120 said $name "serving at"
    enter $name 'cd /; wget -q http://10.0.2.15/load.sh; sh load.sh'
done
(while :; do :; done) & # dom0's own load
spinner=$!

# progress NAME: what the guest has counted, as "cpu disk net bad"
progress() {
    at=$(wc -c <$LOGS/guest-$1.log)
    enter $1 'echo counts=$(cat /n/cpu /n/disk /n/net /n/bad)='
    within 60 said_since $1 "$at" 'counts=[0-9 ]*='
    tail -c "+$((at + 1))" $LOGS/guest-$1.log | sed -n 's/.*counts=\([0-9 ]*\)=.*/\1/p' | tail -n 1
}
# forward BEFORE AFTER: all three have grown, nothing was bad
forward() {
    echo "$1 $2" | awk '{ exit !(NF == 8 && $5 > $1 && $6 > $2 && $7 > $3 && $8 == 0) }' ||
        { echo "from $1 to $2"; false; }
}
sleep 10
for name in $guests; do eval "count_$name=\$(progress $name)"; done
minute=0
while [ $minute -lt "$minutes" ]; do
    minute=$((minute + 1))
    sleep 60
    for name in $guests; do
        now=$(progress $name)
        eval "before=\$count_$name; count_$name=\$now"
        echo "minute $minute: $name: $now"
        check "minute $minute: $name gets on: CPU, disk, network" forward "$before" "$now"
    done
done
kill $spinner
xl list
for number in 50 51 52 53; do
    check "dom0 reaches 10.0.2.$number" ping -c 1 -W 20 10.0.2.$number
done
for name in $guests; do xl destroy $name; done
check "only dom0 is left" equal "$(xl list | wc -l)" 2
check_kernels
