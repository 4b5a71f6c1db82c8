#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each header of the core compiles on its own, and every source names its licence
# in its first line.  usage: headers.sh CFLAGS...
bad=0
for h in core/*/*.h; do
    if ! why=$(printf '#include "%s"\n' "${h#core/}" | gcc "$@" -x c -fsyntax-only - 2>&1); then
        echo "not ok header $h stands alone: $(echo "$why" | head -n 1)"
        bad=1
    fi
done
for f in $(git ls-files 'core/*.[chS]' 'loader/*.[chS]'); do
    if ! head -n 1 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0'; then
        echo "not ok licence line in $f"
        bad=1
    fi
done
[ $bad = 0 ] && echo "ok headers stand alone, files are licensed"
exit $bad
