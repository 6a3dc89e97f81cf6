/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Included before every kernel source file: privileged instructions become
 * assembler macros. An empty macro is an instruction whose effect is on state
 * that the process does not have; the others call the shim.
 */
#ifndef HOSTED_PRELUDE_H
#define HOSTED_PRELUDE_H
#ifndef __ASSEMBLY__
/* Where several CPUs run, some of them may wait for this one to take interrupts. SVM's
 * global flag, which the guest runs without, is bit 32, upside down. */
#ifdef HOSTED_SCHEDULE
#define HOSTED_STI                                                    \
  ".macro sti\n orl $0x200, hosted_flags(%rip)\n"                     \
  " cmpl $0, hosted_interrupts_awaited(%rip)\n je .Lhosted_sti\\@\n"  \
  " call hosted_interrupts_on\n.Lhosted_sti\\@:\n.endm\n"             \
  ".macro clgi\n orl $1, 4+hosted_flags(%rip)\n.endm\n"               \
  ".macro stgi\n andl $~1, 4+hosted_flags(%rip)\n"                    \
  " cmpl $0, hosted_interrupts_awaited(%rip)\n je .Lhosted_stgi\\@\n" \
  " call hosted_interrupts_on\n.Lhosted_stgi\\@:\n.endm\n"
#else
#define HOSTED_STI                                       \
  ".macro sti\n orl $0x200, hosted_flags(%rip)\n.endm\n" \
  ".macro clgi\n.endm\n.macro stgi\n.endm\n"
#endif
/* The interrupt flag lives in hosted_flags; the emulator alone needs the real
 * flags, for what it computes. */
asm(".macro cli\n andl $~0x200, hosted_flags(%rip)\n.endm\n" HOSTED_STI ".ifnc " KBUILD_BASENAME
    ", emulate\n"
    ".macro pushf\n pushq hosted_flags(%rip)\n.endm\n"
    ".endif\n"
    ".macro hlt\n.endm\n"
    ".macro wbinvd\n.endm\n.macro clts\n.endm\n.macro swapgs\n.endm\n"
    ".macro vmsave a\n.endm\n.macro vmload a\n.endm\n"
    ".macro lldt a\n.endm\n.macro ltr a\n.endm\n.macro lgdt a\n.endm\n.macro lidt a\n.endm\n"
    ".macro rdmsr\n call hosted_rdmsr\n.endm\n"
    ".macro wrmsr\n call hosted_wrmsr\n.endm\n"
    ".macro cpuid\n call hosted_cpuid\n.endm\n"
    ".macro rdtsc\n call hosted_rdtsc\n.endm\n"
    ".macro invlpga a b\n call hosted_invlpga\n.endm\n"
    ".macro sgdt a\n movq $0, \\a\n.endm\n.macro sidt a\n movq $0, \\a\n.endm\n"
    ".macro sldt a\n movw $0, \\a\n.endm\n");

/* VMX. Operands pass in memory, for every register stays; those on the stack
 * are read before anything is pushed. Comparing the stack pointer with itself
 * leaves the flags of success. */
asm(".macro vmx_succeeds function\n call \\function\n test %rsp, %rsp\n.endm\n"
    ".macro vmx_address operand\n"
    " movq %rax, hosted_vmx_scratch(%rip)\n leaq \\operand, %rax\n"
    " movq %rax, hosted_vmx_first(%rip)\n movq hosted_vmx_scratch(%rip), %rax\n.endm\n"
    ".macro vmxon a\n.endm\n.macro vmxoff\n test %rsp, %rsp\n.endm\n"
    ".macro vmread field to\n movq \\field, hosted_vmx_first(%rip)\n"
    " vmx_succeeds hosted_vmread\n movq hosted_vmx_second(%rip), \\to\n.endm\n"
    ".macro vmx_write field\n popq hosted_vmx_first(%rip)\n"
    " movq \\field, hosted_vmx_second(%rip)\n vmx_succeeds hosted_vmwrite\n.endm\n"
    /* An address with an index comes in several arguments. */
    ".macro vmwrite a b c d\n"
    " .ifnb \\d\n  pushq \\a,\\b,\\c\n  vmx_write \\d\n"
    " .else\n .ifnb \\c\n  pushq \\a,\\b\n  vmx_write \\c\n"
    " .else\n  pushq \\a\n  vmx_write \\b\n .endif\n .endif\n.endm\n"
    ".macro vmptrld from\n pushq \\from\n popq hosted_vmx_first(%rip)\n"
    " vmx_succeeds hosted_vmptrld\n.endm\n"
    ".macro vmclear from\n pushq \\from\n popq hosted_vmx_first(%rip)\n"
    " vmx_succeeds hosted_vmclear\n.endm\n"
    ".macro invept from type\n movq \\type, hosted_vmx_second(%rip)\n"
    " vmx_address \\from\n vmx_succeeds hosted_invept\n.endm\n"
    ".macro invvpid from type\n movq \\type, hosted_vmx_second(%rip)\n"
    " vmx_address \\from\n vmx_succeeds hosted_invvpid\n.endm\n");

/* copy_user_generic() of 6.4 and later is inlined for processors with FSRM; take
 * the call that others make, so that the shim sees what changes user memory. */
asm(".macro rep instruction:vararg\n"
    " .ifeqs \"\\instruction\",\"movsb\"\n  call rep_movs_alternative\n"
    " .else\n  .byte 0xf3\n  \\instruction\n .endif\n"
    ".endm\n");

/* MOV from and to a control register. The compiler writes its own moves with a
 * suffix, so that only what the kernel's authors wrote is looked at. */
asm(".macro hosted_mov from to\n"
    " .irp number, 0, 2, 3, 4\n"
    "  .ifc \\from,%cr\\number\n movq hosted_cr\\number(%rip), \\to\n  .endif\n"
    "  .ifc \\to,%cr\\number\n movq \\from, hosted_cr\\number(%rip)\n  .endif\n"
    " .endr\n.endm\n"
    ".macro mov operands:vararg\n"
    " .set hosted_matched, 0\n"
    " .irpc letter, \"\\operands\"\n"
    "  .if hosted_matched < 3\n"
    "   .ifeqs \"\\letter\",\"%\"\n    .set hosted_matched, 1\n"
    "   .else\n"
    "    .ifeqs \"\\letter\",\"c\"\n"
    "     .set hosted_matched, -2 * (hosted_matched == 1)\n"
    "    .else\n"
    "     .ifeqs \"\\letter\",\"r\"\n"
    "      .set hosted_matched, -3 * (hosted_matched == 2)\n"
    "     .else\n      .set hosted_matched, 0\n     .endif\n"
    "    .endif\n"
    "   .endif\n"
    "  .endif\n"
    " .endr\n"
    " .if hosted_matched == 3\n  hosted_mov \\operands\n"
    " .else\n  {load} mov \\operands\n .endif\n"
    ".endm\n");
#endif
#endif
