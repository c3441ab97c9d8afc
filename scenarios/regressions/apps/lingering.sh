#!/bin/sh
# lingering AFTER [BEFORE]: works for BEFORE seconds of the client's clock, has finished, and exits AFTER seconds later.
sleep "${2:-0}"
echo done > out
echo 0 > boinc_finish_called
sleep "$1"
