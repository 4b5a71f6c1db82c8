#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The core's image has no indirect branch that a guest could train, and does have
# retpolines.  usage: branches.sh IMAGE
objdump -d --no-show-raw-insn "$1" | awk '
    /^[0-9a-f]+ <.*>:$/ { in_function = $2 }
    $2 ~ /^(notrack|bnd|ds)$/ { $2 = $3; $3 = $4 }
    $2 ~ /^(call|jmp)/ && $3 ~ /^\*/ { bad++; print "not ok indirect branch in " in_function " " $0 }
    { two = one; one = last; last = $2 }
    two == "pause" && one == "lfence" && last == "jmp" { thunks++ }
    END {
        if (!thunks) { print "not ok no retpoline in the image"; exit 1 }
        if (bad) exit 1
        print "ok no indirect branch: " thunks " loops that stop a wrong guess"
    }'
