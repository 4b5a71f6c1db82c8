#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The core's image has no indirect branch that a guest could train, and does have
# retpolines; where something is done about speculation, IBPB comes after VMRUN
# before any return and any NMI.  usage: branches.sh IMAGE
objdump -d --no-show-raw-insn "$1" | awk '
    /^[0-9a-f]+ <.*>:$/ { in_function = $2 }
    $2 ~ /^(notrack|bnd|ds)$/ { $2 = $3; $3 = $4 }
    $2 ~ /^(call|jmp)/ && $3 ~ /^\*/ { bad++; print "not ok indirect branch in " in_function " " $0 }
    $2 == "vmrun" && in_function ~ /guarded_switch/ { guests = 1; guarded++ }
    guests && ($2 == "wrmsr" || /call.*mitigate_exit/) { guests = 0 }
    guests && $2 ~ /^(call|ret|jmp|stgi)/ { bad++; guests = 0; print "not ok before IBPB: " $0 }
    { two = one; one = last; last = $2 }
    two == "pause" && one == "lfence" && last == "jmp" { thunks++ }
    END {
        if (!thunks) { print "not ok no retpoline in the image"; exit 1 }
        if (bad || !guarded) exit 1
        print "ok no indirect branch: " thunks " loops that stop a wrong guess"
    }'
