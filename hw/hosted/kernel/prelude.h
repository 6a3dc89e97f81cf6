/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Included before every kernel source file: privileged instructions become
 * assembler macros. An empty macro is an instruction whose effect is on state
 * that the process does not have; the others call the shim.
 */
#ifndef HOSTED_PRELUDE_H
#define HOSTED_PRELUDE_H
#ifndef __ASSEMBLY__
/* The interrupt flag lives in hosted_flags; the emulator alone needs the real
 * flags, for what it computes. */
asm(".macro cli\n andl $~0x200, hosted_flags(%rip)\n.endm\n"
    ".macro sti\n orl $0x200, hosted_flags(%rip)\n.endm\n"
    ".ifnc " KBUILD_BASENAME ", emulate\n"
    ".macro pushf\n pushq hosted_flags(%rip)\n.endm\n"
    ".endif\n"
    ".macro hlt\n.endm\n"
    ".macro clgi\n.endm\n.macro stgi\n.endm\n"
    ".macro wbinvd\n.endm\n.macro clts\n.endm\n.macro swapgs\n.endm\n"
    ".macro vmsave a\n.endm\n.macro vmload a\n.endm\n"
    ".macro lldt a\n.endm\n.macro ltr a\n.endm\n.macro lgdt a\n.endm\n.macro lidt a\n.endm\n"
    ".macro rdmsr\n call hosted_rdmsr\n.endm\n"
    ".macro wrmsr\n call hosted_wrmsr\n.endm\n"
    ".macro cpuid\n call hosted_cpuid\n.endm\n"
    ".macro rdtsc\n call hosted_rdtsc\n.endm\n"
    ".macro invlpga a b\n call hosted_invlpga\n.endm\n");
#endif
#endif
