# SPDX-License-Identifier: Apache-2.0
# What the dom0s of `two` do.  side: A has the guest and moves it, B carries out what
# A says; each has its disk as /dev/vda.  other: the other's HV.  trips: how many
# vCPUs the guests have that go to B and come back, one after the other; with lacks,
# what B's processor has not, there is one that stays.  tsc: B's TSC has another
# frequency; the guest may take its own for a clock.
. /test/lib.sh
. /test/moving.sh

[ -n "$tsc" ] && guest_clock=tsc=reliable
xl sched-credit2 -d 0 -w 2048 # what moves a busy guest is not to wait for it
case $side in
A) own=10.0.2.15 peer=10.0.2.16 ;;
B) own=10.0.2.16 ;;
esac
ip address flush dev xenbr0
ip address add $own/24 dev xenbr0
nc -ll -p 22 -e /test/serve &

if [ "$side" = B ]; then
    until [ -e /tmp/stop ]; do sleep 1; done
    cat /tmp/served
    echo "end: 0"
    return
fi

# on_b COMMAND...: with its output and its success.
quoted() { for word; do printf "'%s' " "$(echo "$word" | sed "s/'/'\\\\''/g")"; done; }
on_b() {
    /test/there $peer "$(quoted "$@") 2>&1; echo rc=\$?" </dev/null >/tmp/there
    grep -v '^rc=' /tmp/there
    grep -q '^rc=0$' /tmp/there
}
memory_there() { on_b memory | tr '\n' ';'; }
same_memory_there() { equal "$(memory_there)" "$before_there"; }
destroy_guests() { on_b eval 'for d in $(xl list | awk "NR > 2 { print \$2 }"); do xl destroy $d; done'; }

# trip WHAT COMMAND...: the command moves m; how long it took.
trip() {
    at=$(date +%s)
    check "$@"
    echo "$1: $(($(date +%s) - at)) s"
}

check "the other machine answers" within 120 on_b true
if [ -n "$lacks" ]; then
    start 1 /dev/vda
    for time in first second; do
        before_there=$(memory_there) # dom0's own tables grow with the first
        refused "a processor without $lacks, the $time time" xl migrate -s /test/there m $peer
    done
    good "it stays" 1
    check "nothing of it is there" within 10 on_b gone m--incoming
    check "all memory there is back" within 10 same_memory_there
    check "why is said there" on_b eval 'xl dmesg | grep "is not given CPUID feature"'
    trips=
fi
memory_before='' before_there=''
for vcpus in $trips; do
    start "$vcpus" /dev/vda
    if [ -z "$memory_before" ] && [ "$other" = insula ]; then
        # xl on the other side dies; who reads the stream there goes on to its end.
        half() { xl migrate -s /test/there m "$peer timeout -s KILL 4"; }
        refused "the target dies half-way" half
        good "its target died" "$vcpus"
        check "what is left there can be destroyed" destroy_guests
        check "it is gone there" within 20 on_b gone m--incoming
    fi
    trip "$vcpus vCPUs: to the other machine" xl migrate -s /test/there m $peer
    good "$vcpus vCPUs, there" "$vcpus" on_b
    if [ -n "$tsc" ]; then
        for clock in xen tsc; do
            check "its clock has the right rate there, by $clock" on_b . /test/clock_rate.sh $clock
        done
        check "and that is told there" on_b eval 'xl dmesg | grep "its TSC of .* is emulated"'
    fi
    check "$vcpus vCPUs: it left nothing here" within 10 gone m
    trip "$vcpus vCPUs: and back" on_b xl migrate -s /test/there m $own
    good "$vcpus vCPUs, here again" "$vcpus"
    check "$vcpus vCPUs: it left nothing there" within 10 on_b gone m
    xl destroy m
    kill $connection 2>/dev/null
    # The dom0s' own tables grow with the first.
    if [ -n "$memory_before" ]; then
        check_memory "$vcpus vCPUs: all memory here is back"
        check "$vcpus vCPUs: all memory there is back" within 10 same_memory_there
    fi
    within 10 gone m >/dev/null
    sleep 1
    remember_memory
    before_there=$(memory_there)
done
check_kernels
check "the other kernel has no complaint" on_b eval 'dmesg >/tmp/dmesg; complaints /tmp/dmesg'
on_b touch /tmp/stop
sleep 3
echo "end: 0"
