/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel's own checks say, and where: WARN, BUG, and traps. */
#include <linux/bug.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <asm/processor.h>
#include <asm/extable.h>
#include <asm/extable_fixup_types.h>
#include "shim.h"

struct hosted_host hosted_host;

/* A small printf: the kernel's own would bring half of lib/. Knows what
 * messages of KVM use: %s %d %i %u %x %lx %llx %p %c %zu, widths ignored. */
static unsigned put_number(char *out, unsigned room, unsigned long long value, unsigned base) {
  char digits[24];
  unsigned count = 0, at = 0;
  do digits[count++] = "0123456789abcdef"[value % base];
  while (value /= base);
  while (count && at < room) out[at++] = digits[--count];
  return at;
}
void hosted_format(char *buffer, unsigned size, const char *format, __builtin_va_list arguments) {
  unsigned at = 0;
  for (; *format && at + 1 < size; ++format) {
    int longs = 0;
    if (*format != '%') {
      if ((unsigned char)*format >= ' ' || *format == '\n') buffer[at++] = *format;
      continue;
    }
    ++format;
    while (*format && strchr("-+ #0123456789.*", *format)) ++format;
    for (; *format == 'l' || *format == 'z' || *format == 'h'; ++format) longs += *format != 'h';
    if (*format == 's') {
      const char *text = __builtin_va_arg(arguments, const char *);
      if (!text) text = "(null)";
      while (*text && at + 1 < size) buffer[at++] = *text++;
    } else if (*format == 'c') {
      buffer[at++] = (char)__builtin_va_arg(arguments, int);
    } else if (*format == 'p') {
      at += put_number(buffer + at, size - 1 - at,
                       (unsigned long)__builtin_va_arg(arguments, void *), 16);
      while (format[1] == 'x' || format[1] == 'S' || format[1] == 'K') ++format;
    } else if (*format == 'd' || *format == 'i') {
      long long value = longs ? __builtin_va_arg(arguments, long long)
                              : __builtin_va_arg(arguments, int);
      if (value < 0) {
        buffer[at++] = '-';
        value = -value;
      }
      at += put_number(buffer + at, size - 1 - at, value, 10);
    } else if (*format == 'u' || *format == 'x' || *format == 'X') {
      unsigned long long value = longs ? __builtin_va_arg(arguments, unsigned long long)
                                       : __builtin_va_arg(arguments, unsigned);
      at += put_number(buffer + at, size - 1 - at, value, *format == 'u' ? 10 : 16);
    } else if (*format == '%') {
      buffer[at++] = '%';
    } else if (!*format) {
      break;
    }
  }
  buffer[at] = 0;
}

static void report(unsigned kind, unsigned long ip, const char *format,
                   __builtin_va_list arguments) {
  char text[512];
  hosted_format(text, sizeof(text), format, arguments);
  hosted_host.finding(hosted_host.context, kind, text, ip);
}
void hosted_fail(unsigned kind, const char *format, ...) {
  __builtin_va_list arguments;
  __builtin_va_start(arguments, format);
  report(kind, (unsigned long)__builtin_return_address(0), format, arguments);
  __builtin_va_end(arguments);
  for (;;) __builtin_trap();
}
void hosted_warn(const char *format, ...) {
  __builtin_va_list arguments;
  __builtin_va_start(arguments, format);
  report(HOSTED_WARNING, (unsigned long)__builtin_return_address(0), format, arguments);
  __builtin_va_end(arguments);
}
void hosted_stub(const char *name) {
  hosted_fail(HOSTED_STUB, "the kernel called %s(), which the shim does not provide", name);
}

/* ---- what the kernel prints */
static char last_warning[256];
void __warn_printk(const char *format, ...) {
  __builtin_va_list arguments;
  __builtin_va_start(arguments, format);
  hosted_format(last_warning, sizeof(last_warning), format, arguments);
  __builtin_va_end(arguments);
}
#ifdef CONFIG_PRINTK
int _printk(const char *format, ...) {
  char text[256];
  __builtin_va_list arguments;
  if (format[0] == '\001') format += 2; /* the level */
  __builtin_va_start(arguments, format);
  hosted_format(text, sizeof(text), format, arguments);
  __builtin_va_end(arguments);
  hosted_host.log(hosted_host.context, text);
  return 0;
}
#endif
int snprintf(char *buffer, size_t size, const char *format, ...) {
  __builtin_va_list arguments;
  if (!size) return 0;
  __builtin_va_start(arguments, format);
  hosted_format(buffer, (unsigned)size, format, arguments);
  __builtin_va_end(arguments);
  return (int)strlen(buffer);
}
void panic(const char *format, ...) {
  char text[256];
  __builtin_va_list arguments;
  __builtin_va_start(arguments, format);
  hosted_format(text, sizeof(text), format, arguments);
  __builtin_va_end(arguments);
  hosted_fail(HOSTED_BUG, "panic: %s", text);
}

/* ---- traps */
extern struct bug_entry __start___bug_table[], __stop___bug_table[];
extern const struct exception_table_entry __start___ex_table[], __stop___ex_table[];

/* User-memory instructions of the shim itself, with what to do instead. */
struct hosted_fixup {
  unsigned long at, go_on;
};
extern const struct hosted_fixup hosted_fixups[], hosted_fixups_end[];

static void append(char *text, unsigned size, const char *more) {
  unsigned at = strlen(text);
  while (*more && at + 1 < size) text[at++] = *more++;
  text[at] = 0;
}
static void append_line(char *text, unsigned size, const char *file, unsigned line) {
  char number[16];
  const char *root = strstr(file, "arch/x86/");
  if (!root) root = strstr(file, "virt/kvm/");
  append(text, size, root ? root : file);
  append(text, size, ":");
  number[put_number(number, sizeof(number) - 1, line, 10)] = 0;
  append(text, size, number);
}

#ifdef HOSTED_WARN_TRAP
/* Since 6.19 a WARN with a message is a call with its bug entry in front. */
__visible void hosted_warn_trap(struct bug_entry *bug, const char *format, ...) {
  char text[384] = "WARNING at ";
  append_line(text, sizeof(text), (const char *)&bug->file_disp + bug->file_disp, bug->line);
  hosted_host.finding(hosted_host.context, HOSTED_WARNING, text,
                      (unsigned long)&bug->bug_addr_disp + bug->bug_addr_disp);
}
asm(".globl __SCT__WARN_trap\n__SCT__WARN_trap: jmp hosted_warn_trap\n");
#endif

int hosted_trap(hosted_u64 ip, char *text, unsigned size, hosted_u64 *go_on,
                int *error_register) {
  struct bug_entry *bug;
  const struct exception_table_entry *entry;
  const struct hosted_fixup *fixup;
  text[0] = 0;
  *error_register = -1;
  for (bug = __start___bug_table; bug < __stop___bug_table; ++bug) {
    int warning = bug->flags & BUGFLAG_WARNING;
    if ((unsigned long)&bug->bug_addr_disp + bug->bug_addr_disp != ip) continue;
    append(text, size, warning ? "WARNING at " : "kernel BUG at ");
    append_line(text, size, (const char *)&bug->file_disp + bug->file_disp, bug->line);
    if (warning && last_warning[0]) {
      append(text, size, ": ");
      append(text, size, last_warning);
      last_warning[0] = 0;
    }
    return warning ? 1 : 2;
  }
  for (entry = __start___ex_table; entry < __stop___ex_table; ++entry) {
    int type = entry->data & 0xff, immediate = entry->data >> 16;
    if ((unsigned long)&entry->insn + entry->insn != ip) continue;
    *go_on = (unsigned long)&entry->fixup + entry->fixup;
    if (type == EX_TYPE_IMM_REG && immediate == -EFAULT)
      *error_register = (entry->data >> 8) & 15;
    else if (type != EX_TYPE_DEFAULT && type != EX_TYPE_UACCESS && type != EX_TYPE_FAULT)
      return 0;
    return 3;
  }
  for (fixup = hosted_fixups; fixup < hosted_fixups_end; ++fixup) {
    if (fixup->at != ip) continue;
    *go_on = fixup->go_on;
    return 3;
  }
  return 0;
}
