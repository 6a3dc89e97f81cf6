// SPDX-License-Identifier: GPL-2.0-or-later
/// The guest's own code: one stub for each thing that a vCPU can be asked to
/// do, and an exception handler for each vector that leaves the guest by HLT.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "hw/kvm/harness_layout.h"

namespace lockstep::hw {

/// A stub executes one instruction that matters and stops: by INT3 at CPL 3, by
/// HLT at CPL 0. RDI holds the address, RAX the value.
enum class Stub : std::uint8_t {
  nothing,
  iret,
  read1,
  read2,
  read4,
  read8,
  write1,
  write2,
  write4,
  write8,
  fetch,
  load_cr0,
  load_cr3,
  load_cr4,
  write_msr,
  invlpg,
  invpcid,
  wrpkru
};
inline constexpr unsigned stub_count = 18;

/// Stub of a read or a write of `size` bytes (1, 2, 4, 8).
Stub read_stub(unsigned size);
Stub write_stub(unsigned size);

/// Offset of the stub in its code page, and of the instruction that stops it,
/// in bytes; the same for both privilege levels.
std::uint64_t stub_offset(PagingMode mode, Stub stub);
std::uint64_t stop_offset(PagingMode mode, Stub stub);

/// Vector whose handler executed the HLT before `rip`; none if `rip` lies
/// outside the handlers.
std::optional<unsigned> vector_at(const HarnessLayout& layout, std::uint64_t rip);

/// True if the processor pushes an error code for the vector. SDM "Interrupt
/// and Exception Handling".
constexpr bool has_error_code(unsigned vector) {
  return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21;
}

/// Selectors of the harness GDT.
namespace selector {
inline constexpr std::uint16_t kernel_code = 0x08;
inline constexpr std::uint16_t kernel_data = 0x10;
inline constexpr std::uint16_t user_code = 0x1b;
inline constexpr std::uint16_t user_data = 0x23;
inline constexpr std::uint16_t task = 0x28;
}  // namespace selector

inline constexpr std::uint16_t gdt_limit = 0x38 - 1;
inline constexpr std::uint64_t idt_offset = 0x100;  ///< in the descriptor page
inline constexpr unsigned idt_vectors = 32;
inline constexpr std::uint16_t tss_limit = 103;
/// Top of the ring-0 stack of a vCPU, from the start of its page, in bytes.
inline constexpr std::uint64_t stack_top = page_size;

/// Fill the harness slot (harness_slot_size bytes) for the mode: code, GDT,
/// IDT, task segments, page tables with accessed and dirty already set.
void build_guest_image(std::span<std::byte> slot, PagingMode mode);

}  // namespace lockstep::hw
