#!/bin/sh
# Puts kernel, init and programs together: the boot ISO (and disk) of the guest.
#
#   build-image.sh KERNEL OUTPUT
set -eu
kernel=$1 output=$2
here=$(dirname "$(readlink -f "$0")")
work=$(mktemp -d)
root=$work/root tools=$work/iso
# quiet: printing costs. noreplace-smp: 3 M instructions of patching locks away. ignore_sss: empty SATA ports are looked at
# together. panic, reboot: a crash ends in a triple fault, which VirtualBox notices.
common='quiet console=tty0 console=ttyS0,115200 no_timer_check tsc=reliable noreplace-smp ahci.ignore_sss=1 panic=-1 reboot=triple'

# --- the initramfs: init, what runs container jobs, busybox, links to what is on the boot medium
mkdir -p "$root/bin" "$root/sbin" "$root/usr/bin" "$root/usr/sbin" "$root/etc" "$root/root" "$root/lib64" "$root/lib" "$root/dev" \
    "$root/newroot" "$root/persistent" "$root/tools"
compile() { # PROGRAM SOURCE...
    program=$1 && shift
    musl-gcc -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -static -s \
        -idirafter /usr/include -idirafter "/usr/include/$(gcc -print-multiarch)" -o "$root/$program" "$@"
}
compile init "$here"/init/*.c
compile bin/container-job "$here"/container/*.c
cp /bin/busybox "$root/bin/busybox"
for name in $(busybox --list); do [ "$name" = busybox ] || ln -s busybox "$root/bin/$name"; done
ln -s /bin/busybox "$root/usr/bin/env"
ln -s /tools/lib "$root/lib/$(gcc -print-multiarch)"
ln -s /tools/lib/ld-linux-x86-64.so.2 "$root/lib64/ld-linux-x86-64.so.2"
install -m 0755 "$here/udhcpc.script" "$root/etc/udhcpc.script"
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' > "$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' > "$root/etc/group"
printf '127.0.0.1 localhost boinc-guest\n' > "$root/etc/hosts"
printf '/bin/sh\n' > "$root/etc/shells"
python3 "$here/mkinitramfs.py" "$root" > "$work/initramfs"

# --- the boot medium: programs that few jobs need, read when they do
mkdir -p "$tools/bin" "$tools/lib"
programs='/usr/bin/crun /usr/sbin/mke2fs /usr/sbin/e2fsck /usr/sbin/dropbear'
# shellcheck disable=SC2086
cp $programs "$tools/bin/"
# shellcheck disable=SC2086
ldd $programs | awk '$3 ~ /^\// {print $3} $1 ~ /^\// && $1 ~ /ld-linux/ {print $1}' | sort -u | while read -r library; do
    cp -L "$library" "$tools/lib/"
done

# --- the loader and the media, with and without ACPI
mkdir -p "$output"
for part in loader mbr; do
    as --32 -o "$work/$part.o" "$here/boot/$part.S"
    ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o "$work/$part" "$work/$part.o"
done
make_media() { # NAME COMMAND-LINE-WORDS
    python3 "$here/boot/mkboot.py" "$work/loader" "$kernel/bzImage" "$work/initramfs" "$work/iso/boot.bin" "$common $2"
    find "$work/iso" -exec touch -h -d @0 {} +
    SOURCE_DATE_EPOCH=0 xorriso -report_about WARNING -as mkisofs -quiet -R -V BOINC_GUEST -b boot.bin -no-emul-boot \
        -boot-load-size 4 -boot-info-table -o "$output/$1.iso" "$work/iso"
    python3 "$here/boot/mkimage.py" "$output/$1.iso" "$work/mbr" "$output/$1.vdi"
}
make_media boinc-guest 'acpi=off nolapic noapic'
make_media boinc-guest-acpi ''
cp "$kernel/System.map" "$output/"
rm -rf "$work"
ls -l "$output"
