# Loads the kernel and the initramfs through the BIOS and starts them.
#
# The same 2 KiB serve a CD (El Torito, no emulation: the BIOS has put all of it
# at 0x7c00) and a hard disk (mbr.S has).  isolinux needs two seconds for this
# in a driverless VirtualBox; this, some seventeen BIOS calls per MiB and a string
# copy each.
#
# The boot file is: this loader | kernel's real-mode part | kernel | initramfs,
# each padded to 2048 bytes.  mkboot.py fills in the numbers below and the
# command line; the ISO writer fills in the boot information table.
#
# Kernel side: Documentation/arch/x86/boot.rst, "The Linux/x86 Boot Protocol".

        .code16
        .section .text
        .globl  _start

        .set    SETUP_SEGMENT, 0x9000   # where the real-mode part goes
        .set    HEAP_END, 0xde00        # its heap and stack end here
        .set    COMMAND_LINE, 0x9e000
        .set    BUFFER_SEGMENT, 0x1000  # BIOS reads arrive here ...
        .set    BUFFER, 0x10000
        .set    KERNEL, 0x100000        # ... and go here
        .set    CHUNK, 31               # 2 KiB blocks per BIOS read: the most that a segment and 127 sectors hold
        .set    COM1, 0x3f8
        .set    GUEST_LOG, 0x504        # VirtualBox's VMMDev: a line to VBox.log

_start: jmp     start
        .org    8
boot_information_table:                 # written by the ISO writer
        .long   0                       # block of the volume descriptor
file_block:
        .long   0                       # first 2 KiB block of this file
        .org    64
# Written by mkboot.py, in 2 KiB blocks unless it says bytes.
magic:  .ascii  "BOINCBT1"
setup_blocks:
        .long   0
kernel_blocks:
        .long   0
initrd_blocks:
        .long   0
initrd_address:
        .long   0                       # physical
initrd_bytes:
        .long   0

start:  ljmp    $0, $1f
1:      cli
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        sti
        cld
        movb    %dl, drive

        # Blocks of 2 KiB on a CD, sectors of 512 bytes on a disk: ask.
        movb    $0x48, %ah
        movw    $parameters, %si
        int     $0x13
        jc      sector_known            # keep the CD's size
        cmpw    $512, parameters + 0x18
        jne     sector_known
        movb    $2, block_shift
sector_known:
        inb     $0x92, %al              # address line 20
        testb   $2, %al
        jnz     a20_on
        orb     $2, %al
        andb    $0xfe, %al
        outb    %al, $0x92
a20_on:
        movl    file_block, %eax
        incl    %eax                    # the loader itself is one block
        movl    %eax, next_block

        movl    setup_blocks, %ecx
        movl    $(SETUP_SEGMENT << 4), %edi
        call    load
        movl    kernel_blocks, %ecx
        movl    $KERNEL, %edi
        call    load
        movl    initrd_blocks, %ecx
        movl    initrd_address, %edi
        call    load

        movw    $SETUP_SEGMENT, %ax
        movw    %ax, %es
        movb    $0xff, %es:0x210        # type_of_loader: none of the assigned ones
        orb     $0x80, %es:0x211        # loadflags: CAN_USE_HEAP
        movl    initrd_address, %eax
        movl    %eax, %es:0x218
        movl    initrd_bytes, %eax
        movl    %eax, %es:0x21c
        movw    $(HEAP_END - 0x200), %es:0x224
        movl    $COMMAND_LINE, %es:0x228
        movw    $(COMMAND_LINE >> 4), %ax
        movw    %ax, %es
        xorw    %di, %di
        movw    $command_line, %si
        movw    $(command_line_end - command_line), %cx
        rep movsb

        cli
        movw    $SETUP_SEGMENT, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %fs
        movw    %ax, %gs
        movw    %ax, %ss
        movw    $HEAP_END, %sp
        ljmp    $(SETUP_SEGMENT + 0x20), $0

# load: %ecx blocks, from next_block on, to physical address %edi.
load:   jecxz   load_done
        movl    $CHUNK, %eax
        cmpl    %ecx, %eax
        jbe     1f
        movl    %ecx, %eax
1:      subl    %eax, %ecx
        pushl   %ecx
        pushl   %edi
        pushl   %eax

        movb    block_shift, %cl
        movl    next_block, %edx
        addl    %eax, next_block
        shll    %cl, %eax
        shll    %cl, %edx
        movw    %ax, packet_count
        movl    %edx, packet_block
        movb    $0x42, %ah
        movb    drive, %dl
        movw    $packet, %si
        int     $0x13
        jc      read_error

        popl    %ecx
        popl    %edi
        shll    $9, %ecx                # blocks to 32-bit words
        cli
        call    flat
        movl    $BUFFER, %esi
        rep movsl (%esi), (%edi)
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        sti
        popl    %ecx
        jmp     load
load_done:
        ret

# flat: give %ds and %es base 0 and a limit of 4 GiB, in real mode.  Done anew for each
# chunk, because the BIOS may have been in protected mode in between.
flat:   lgdt    gdt_pointer
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        movw    $8, %bx
        movw    %bx, %ds
        movw    %bx, %es
        andb    $0xfe, %al
        movl    %eax, %cr0
        ret

read_error:
        movb    %ah, %al
        movw    $error_code, %di
        call    hexadecimal
        movw    $error_text, %si
        movw    $(error_end - error_text), %cx
next_character:
        lodsb
        movw    $GUEST_LOG, %dx
        outb    %al, %dx
        movw    $COM1, %dx
        outb    %al, %dx
        movb    $0x0e, %ah
        movw    $7, %bx
        int     $0x10
        loop    next_character
stop:   hlt
        jmp     stop

# hexadecimal: %al as two digits at (%di).
hexadecimal:
        movb    %al, %cl
        shrb    $4, %al
        call    digit
        movb    %cl, %al
digit:  andb    $15, %al
        addb    $'0', %al
        cmpb    $'9', %al
        jbe     1f
        addb    $('a' - '9' - 1), %al
1:      stosb
        ret

block_shift:
        .byte   0
drive:  .byte   0
next_block:
        .long   0
        .balign 4
packet: .byte   16, 0
packet_count:
        .word   0
        .word   0, BUFFER_SEGMENT       # offset, segment
packet_block:
        .quad   0
gdt:    .quad   0
        .quad   0x00cf93000000ffff      # data, base 0, 4 GiB, writable
gdt_end:
gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt
error_text:
        .ascii  "boinc-guest loader: the BIOS cannot read the boot medium, error 0x"
error_code:
        .ascii  "00\r\n"
error_end:
parameters:
        .word   0x1e                    # size of the result buffer
        .space  0x1e - 2

        .org    1024
command_line_magic:
        .ascii  "BOINCCMD"
command_line:
        .space  2048 - 1024 - 8
command_line_end:
