// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kvm/guest_image.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "hw/kvm/harness_tables.h"

// Each image starts with 32 handlers of two bytes, so that RIP after the HLT
// names the vector. Stubs follow; they use registers only and run at any
// address. CPL 3 stops by INT3, because HLT and OUT are privileged; CPL 0 stops
// by HLT, because kvm_pvm interprets ring 0 and has no INT3 there. Both stops
// have one byte, so the two images of a width have the same offsets.
// In 32-bit code, write8 is one store of 8 bytes: MM0 takes the value from
// memory at ESI.
asm(R"(
.pushsection .rodata
.macro lockstep_guest64 prefix, stop
.balign 16
\prefix:
.rept 32
  hlt
  nop
.endr
\prefix\()_nothing:
  \stop
\prefix\()_iret:
  iretq
\prefix\()_read1:
  movb (%rdi), %al
  \stop
\prefix\()_read2:
  movw (%rdi), %ax
  \stop
\prefix\()_read4:
  movl (%rdi), %eax
  \stop
\prefix\()_read8:
  movq (%rdi), %rax
  \stop
\prefix\()_write1:
  movb %al, (%rdi)
  \stop
\prefix\()_write2:
  movw %ax, (%rdi)
  \stop
\prefix\()_write4:
  movl %eax, (%rdi)
  \stop
\prefix\()_write8:
  movq %rax, (%rdi)
  \stop
\prefix\()_fetch:
  jmp *%rdi
\prefix\()_cr0:
  mov %rax, %cr0
  \stop
\prefix\()_cr3:
  mov %rax, %cr3
  \stop
\prefix\()_cr4:
  mov %rax, %cr4
  \stop
\prefix\()_msr:
  wrmsr
  \stop
\prefix\()_invlpg:
  invlpg (%rdi)
  \stop
\prefix\()_invpcid:
  invpcid (%rdi), %rax
  \stop
\prefix\()_wrpkru:
  wrpkru
  \stop
\prefix\()_end:
.endm
.code64
lockstep_guest64 lockstep_user64, int3
lockstep_guest64 lockstep_supervisor64, hlt
.macro lockstep_guest32 prefix, stop
.balign 16
\prefix:
.rept 32
  hlt
  nop
.endr
\prefix\()_nothing:
  \stop
\prefix\()_iret:
  iret
\prefix\()_read1:
  movb (%edi), %al
  \stop
\prefix\()_read2:
  movw (%edi), %ax
  \stop
\prefix\()_read4:
  movl (%edi), %eax
  \stop
\prefix\()_read8:
  \stop
\prefix\()_write1:
  movb %al, (%edi)
  \stop
\prefix\()_write2:
  movw %ax, (%edi)
  \stop
\prefix\()_write4:
  movl %eax, (%edi)
  \stop
\prefix\()_write8:
  movq (%esi), %mm0
  movq %mm0, (%edi)
  \stop
\prefix\()_fetch:
  jmp *%edi
\prefix\()_cr0:
  mov %eax, %cr0
  \stop
\prefix\()_cr3:
  mov %eax, %cr3
  \stop
\prefix\()_cr4:
  mov %eax, %cr4
  \stop
\prefix\()_msr:
  wrmsr
  \stop
\prefix\()_invlpg:
  invlpg (%edi)
  \stop
\prefix\()_invpcid:
  invpcid (%edi), %eax
  \stop
\prefix\()_wrpkru:
  wrpkru
  \stop
\prefix\()_end:
.endm
.code32
lockstep_guest32 lockstep_user32, int3
lockstep_guest32 lockstep_supervisor32, hlt
.code64
.popsection
)");

// In the order of Stub.
// clang-format off
#define LOCKSTEP_STUBS(bits, DO) \
  DO(bits, nothing) DO(bits, iret) DO(bits, read1) DO(bits, read2) \
  DO(bits, read4) DO(bits, read8) DO(bits, write1) DO(bits, write2) \
  DO(bits, write4) DO(bits, write8) DO(bits, fetch) DO(bits, cr0) \
  DO(bits, cr3) DO(bits, cr4) DO(bits, msr) DO(bits, invlpg) \
  DO(bits, invpcid) DO(bits, wrpkru) DO(bits, end)
// clang-format on
#define LOCKSTEP_DECLARE(bits, stub) extern const std::byte lockstep_user##bits##_##stub[];
#define LOCKSTEP_LIST(bits, stub) lockstep_user##bits##_##stub,

extern "C" {
extern const std::byte lockstep_user64[], lockstep_supervisor64[];
extern const std::byte lockstep_user32[], lockstep_supervisor32[];
LOCKSTEP_STUBS(64, LOCKSTEP_DECLARE)
LOCKSTEP_STUBS(32, LOCKSTEP_DECLARE)
}

namespace lockstep::hw {
namespace {

constexpr unsigned handler_size = 2;

/// Start of each stub in the image for CPL 3; the end of the image is last.
using Labels = std::array<const std::byte*, stub_count + 1>;

const Labels& labels(PagingMode mode) {
  static const Labels wide = {LOCKSTEP_STUBS(64, LOCKSTEP_LIST)};
  static const Labels narrow = {LOCKSTEP_STUBS(32, LOCKSTEP_LIST)};
  return is_long_mode(mode) ? wide : narrow;
}

const std::byte* image(PagingMode mode, Cpl cpl) {
  if (cpl == Cpl::user) return is_long_mode(mode) ? lockstep_user64 : lockstep_user32;
  return is_long_mode(mode) ? lockstep_supervisor64 : lockstep_supervisor32;
}

std::size_t image_size(PagingMode mode) {
  return static_cast<std::size_t>(labels(mode).back() - image(mode, Cpl::user));
}

template <typename T>
void put(std::span<std::byte> slot, std::uint64_t offset, T value) {
  std::memcpy(slot.subspan(offset, sizeof value).data(), &value, sizeof value);
}

/// Flat segment descriptor, accessed already set. SDM "Segment Descriptors".
constexpr std::uint64_t flat_segment(bool code, unsigned dpl, bool long_mode) {
  const std::uint64_t type = code ? 0xb : 0x3;
  const std::uint64_t size_bits = code && long_mode ? 0xa : 0xc;  // G with L, or G with D/B
  return 0xffffull | type << 40 | 1ull << 44 | std::uint64_t{dpl} << 45 | 1ull << 47 |
         0xfull << 48 | size_bits << 52;
}

void put_descriptors(std::span<std::byte> slot, PagingMode mode) {
  const HarnessLayout layout = HarnessLayout::of(mode);
  const bool wide = is_long_mode(mode);
  const std::uint64_t gdt = harness_page::descriptors;
  put(slot, gdt + selector::kernel_code, flat_segment(/*code=*/true, 0, wide));
  put(slot, gdt + selector::kernel_data, flat_segment(/*code=*/false, 0, wide));
  put(slot, gdt + (selector::user_code & ~7u), flat_segment(/*code=*/true, 3, wide));
  put(slot, gdt + (selector::user_data & ~7u), flat_segment(/*code=*/false, 3, wide));
  for (unsigned vector = 0; vector < idt_vectors; ++vector) {
    const Gva handler = layout.supervisor + harness_page::supervisor_code + vector * handler_size;
    // Interrupt gate with DPL 3, so that INT3 at CPL 3 may pass.
    const std::uint64_t gate = (handler & 0xffff) | std::uint64_t{selector::kernel_code} << 16 |
                               0xee00ull << 32 | ((handler >> 16) & 0xffff) << 48;
    const std::uint64_t at = gdt + idt_offset + vector * (wide ? 16u : 8u);
    put(slot, at, gate);
    if (wide) put(slot, at + 8, handler >> 32);
  }
  for (unsigned vcpu = 0; vcpu < harness_max_vcpus; ++vcpu) {
    const std::uint64_t page = harness_page::vcpu + vcpu * page_size;
    const Gva stack = layout.supervisor + page + stack_top;
    if (wide) {
      put(slot, page + 4, stack);  // RSP0
    } else {
      put(slot, page + 4, static_cast<std::uint32_t>(stack));  // ESP0
      put(slot, page + 8, std::uint32_t{selector::kernel_data});
    }
    // No I/O permission bitmap: every port is denied at CPL 3.
    put(slot, page + 102, std::uint16_t{tss_limit + 1});
  }
}

}  // namespace

Stub read_stub(unsigned size) {
  return size == 1 ? Stub::read1 : size == 2 ? Stub::read2 : size == 4 ? Stub::read4 : Stub::read8;
}

Stub write_stub(unsigned size) {
  return size == 1   ? Stub::write1
         : size == 2 ? Stub::write2
         : size == 4 ? Stub::write4
                     : Stub::write8;
}

std::uint64_t stub_offset(PagingMode mode, Stub stub) {
  return static_cast<std::uint64_t>(labels(mode)[static_cast<std::size_t>(stub)] -
                                    image(mode, Cpl::user));
}

std::uint64_t stop_offset(PagingMode mode, Stub stub) {
  return static_cast<std::uint64_t>(labels(mode)[static_cast<std::size_t>(stub) + 1] -
                                    image(mode, Cpl::user)) -
         1;
}

std::optional<unsigned> vector_at(const HarnessLayout& layout, std::uint64_t rip) {
  const std::uint64_t offset = rip - layout.supervisor - harness_page::supervisor_code;
  // RIP stands behind a one-byte HLT.
  if (offset % handler_size != 1 || offset >= idt_vectors * handler_size) return std::nullopt;
  return static_cast<unsigned>(offset / handler_size);
}

void build_guest_image(std::span<std::byte> slot, PagingMode mode) {
  std::fill(slot.begin(), slot.end(), std::byte{0});
  std::memcpy(slot.data() + harness_page::supervisor_code, image(mode, Cpl::supervisor),
              image_size(mode));
  std::memcpy(slot.data() + harness_page::user_code, image(mode, Cpl::user), image_size(mode));
  put_descriptors(slot, mode);
  build_harness_tables(slot, mode);
}

}  // namespace lockstep::hw
