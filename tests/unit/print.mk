UNIT_SIMPLE += print
unit_print := tests/unit/test_print.c core/lib/print.c
