#!/bin/sh
# Writes its output, and fails.
echo half > out
exit 7
