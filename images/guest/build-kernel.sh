#!/bin/sh
# Builds the guest's kernel from Debian's linux-source package.
#
#   build-kernel.sh CONFIG OUTPUT
#
# An option of CONFIG that the kernel does not have, or sets otherwise, is an error: it would show only when a job needs it.
set -eu
config=$1 output=$2
here=$(dirname "$(readlink -f "$0")")
archive=$(ls /usr/src/linux-source-*.tar.xz)
source=/tmp/$(basename "$archive" .tar.xz)
export KCC=/tmp/kcc

# Of parts that no option of ours reaches, kbuild wants the makefiles only. They are two thirds of the source.
for part in drivers/accel drivers/clk drivers/gpu drivers/iio drivers/infiniband drivers/media drivers/net/wireless drivers/pinctrl \
    drivers/staging drivers/usb sound tools/perf tools/testing 'arch/[!x]*'; do
    printf '*/%s/*.[chS]\n' "$part"
done > /tmp/unwanted
printf '%s\n' '*/Documentation/*.*' '*.dts' '*.dtsi' >> /tmp/unwanted
tar -C /tmp -xf "$archive" --exclude-from=/tmp/unwanted
printf '#!/bin/sh\nexec python3 %s/lz4store.py\n' "$here" > /tmp/lz4store
chmod +x /tmp/lz4store
mkdir -p "$KCC"
gcc -O2 -Wall -Wextra -o "$KCC/kcc" "$here/kcc.c"
cd "$source"

# vboxsf_again.h says why. And a write that failed has to say so: "nothing written" is tried again for ever.
vboxsf=fs/vboxsf/file.c
cp "$here/vboxsf_again.h" fs/vboxsf/again.h
sed -i -e '/^struct vboxsf_handle \*vboxsf_create_sf_handle(/i #include "again.h"' \
    -e '/^static int vboxsf_read_folio(/,/^}/ { /sf_handle = file->/d; s/vboxsf_read(sf_handle->root, sf_handle->handle,/again(vboxsf_read, file,/ }' \
    -e '/^static int vboxsf_write_end(/,/^}/ { /sf_handle = file->/d; s/vboxsf_write(sf_handle->root, sf_handle->handle,/again(vboxsf_write, file,/; s/nwritten = 0;/nwritten = err;/ }' \
    "$vboxsf"
[ "$(grep -c 'again\.h\|again(vboxsf_\|nwritten = err' "$vboxsf")" = 4 ] || { echo "vboxsf_again.h does not fit $source/$vboxsf" >&2; exit 1; }

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

# The same files give the same kernel, wherever and whenever it is built.
build() {
    nice make -s -j"$(nproc)" CC="$KCC/kcc" LZ4=/tmp/lz4store \
        KBUILD_BUILD_TIMESTAMP='@0' KBUILD_BUILD_USER=guest KBUILD_BUILD_HOST=boinc KBUILD_BUILD_VERSION=1 "$@"
}

# --- the headers that most files begin with, parsed once: with the words that gcc is given for a file of the same kind
precompile() { # NAME LIKE-WHAT-FILE
    words=$(sed -n 's/^savedcmd_[^ ]* := [^ ]* //p' "$(dirname "$2")/.$(basename "$2").cmd" |
        sed 's/ -c -o .*//; s/-include [^ ]*//g; s/-Wp,[^ ]*//; s/-D_*KBUILD_[A-Z]*=[^ ]*//g')
    # shellcheck disable=SC2086
    gcc $words -w -iquote "$(dirname "$2")" -x c-header -o "$KCC/$1.h.gch" "$here/headers/$1.h"
}
build lib/ctype.o drivers/acpi/acpica/utids.o
for name in kernel net acpica; do : > "$KCC/$name.h"; done
precompile net lib/ctype.o &
net=$!
precompile kernel lib/ctype.o
precompile acpica drivers/acpi/acpica/utids.o
wait "$net"

build bzImage
install -D -m 0644 arch/x86/boot/bzImage "$output/bzImage"
install -D -m 0644 System.map "$output/System.map"
cd /
rm -rf "$source"
