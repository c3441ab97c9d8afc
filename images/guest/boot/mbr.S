# First sector of the hybrid image: loads loader.S's 2 KiB and jumps there.
# Moves out of the way first, because both belong at 0x7c00.

        .code16
        .section .text
        .globl  _start
        .set    HERE, 0x600

_start: cli
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        sti
        cld
        movw    $0x7c00, %si
        movw    $HERE, %di
        movw    $256, %cx
        rep movsw
        ljmp    $0, $(HERE + moved - _start)
moved:  movb    $0x42, %ah
        movw    $(HERE + packet - _start), %si
        int     $0x13
        jc      failed
        ljmp    $0, $0x7c00
failed: movw    $(HERE + text - _start), %si
        movw    $(text_end - text), %cx
1:      lodsb
        movw    $0x504, %dx             # VirtualBox's guest log
        outb    %al, %dx
        movb    $0x0e, %ah
        movw    $7, %bx
        int     $0x10
        loop    1b
2:      hlt
        jmp     2b
text:   .ascii  "boinc-guest: the BIOS cannot read the boot disk\r\n"
text_end:
        .org    0x1a8                   # ends where the partition table's area begins
packet: .byte   16, 0
        .word   4                       # sectors
        .word   0x7c00, 0               # offset, segment
loader_sector:                          # at 0x1b0: written by mkimage.py
        .quad   0
        .org    510
        .word   0xaa55
