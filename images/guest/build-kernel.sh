#!/bin/sh
# Builds the guest's kernel from Debian's linux-source package.
#
#   build-kernel.sh WORK CONFIG OUTPUT
#
# WORK may be kept between builds (ccache lives there). An option of CONFIG that the kernel does not have, or sets
# otherwise, is an error: it would show only when a job needs it.
set -eu
work=$1 config=$2 output=$3
here=$(dirname "$(readlink -f "$0")")
archive=$(ls /usr/src/linux-source-*.tar.xz)
source=/tmp/$(basename "$archive" .tar.xz)

tar -C /tmp -xf "$archive"
printf '#!/bin/sh\nexec python3 %s/lz4store.py\n' "$here" > /tmp/lz4store
chmod +x /tmp/lz4store
cd "$source"
make -s KCONFIG_ALLCONFIG="$config" allnoconfig

refused=0
while read -r line; do
    case $line in
        CONFIG_*=*) grep -qxF "$line" .config || { echo "not as asked: $line" >&2; refused=1; } ;;
        '# CONFIG_'*' is not set')
            name=${line#\# }
            ! grep -q "^${name%% *}=" .config || { echo "not as asked: $line" >&2; refused=1; } ;;
    esac
done < "$config"
[ "$refused" = 0 ] || { echo "$config does not fit $source" >&2; exit 1; }

export CCACHE_DIR="$work/ccache" CCACHE_MAXSIZE=1G
# The same files give the same kernel, wherever and whenever it is built.
nice make -s -j"$(nproc)" CC='ccache gcc' LZ4=/tmp/lz4store \
    KBUILD_BUILD_TIMESTAMP='@0' KBUILD_BUILD_USER=guest KBUILD_BUILD_HOST=boinc KBUILD_BUILD_VERSION=1 bzImage
install -D -m 0644 arch/x86/boot/bzImage "$output/bzImage"
install -D -m 0644 System.map "$output/System.map"
cd /
rm -rf "$source"
