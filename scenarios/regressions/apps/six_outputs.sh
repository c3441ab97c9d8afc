#!/bin/sh
for number in 0 1 2 3 4 5; do echo "output $number" > "out$number"; done
echo 0 > boinc_finish_called
