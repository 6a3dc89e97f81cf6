// SPDX-License-Identifier: GPL-2.0-or-later
/// What tests of the software processors begin with: a kernel that has tables and enters
/// its guest. Included by tests alone.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "hw/hosted/processor.h"
#include "hw/kvm/registers.h"
#include "spec/observation.h"

namespace lockstep::hw::hosted {

inline constexpr std::uint64_t memory = 2ull << 20;
inline constexpr std::uint64_t pwu = entry::present | entry::writable | entry::user;
inline constexpr Gva rip = 0xffff'ffff'ffe0'0000;
inline constexpr unsigned rax = 0;

/// Plays the kernel: tables of its own, one entry after another.
class ProcessorTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Arena::create({.program_bytes = memory, .spare_pages = 16, .kernel_pages = 64});
    ASSERT_TRUE(made) << made.error().message;
    arena = std::move(*made);
    ASSERT_TRUE(arena->reset(memory, true));
    first_table = arena->boundary().first_free;
    processors.emplace(*arena);
    restart(PagingMode::level4);
    entry.format = HOSTED_FORMAT_SHADOW;
    entry.root = first_table << page_shift;
    entry.root_level = 4;
    entry.asid = 1;
    entry.cr0 = cr0::base | cr0::pg | cr0::wp;
    entry.cr4 = cr4::base | cr4::pae;
    entry.efer = efer::long_mode | efer::nx;
    entry.intercept_page_fault = 1;
  }
  void restart(PagingMode mode) {
    processors->reset({.mode = mode, .host_maxphyaddr = 48, .amd = true}, 2);
  }
  /// Host tables first_table .. +3 map `from` to frame `to`.
  void map(std::uint64_t from, Hfn to, std::uint64_t flags = pwu) {
    for (unsigned level = 4; level > 1; --level) {
      table(4 - level)[(from >> (12 + 9 * (level - 1))) & 511] =
          (first_table + 5 - level) << 12 | pwu;
    }
    table(3)[(from >> 12) & 511] = to << 12 | flags;
  }
  std::uint64_t* table(unsigned index) {
    return reinterpret_cast<std::uint64_t*>(arena->frame(first_table + index));
  }
  Operation operation(Operation::Kind kind, Gva gva, std::uint64_t value = 0) {
    Operation made;
    made.kind = kind;
    made.cpl = Cpl::user;
    made.address = gva;
    made.value = value;
    made.rip = rip;
    made.length = 3;
    made.bytes = {0x48, 0x8b, 0x07};
    return made;
  }
  hosted_exit enter() {
    hosted_exit exit{};
    processors->run(this, entry, exit);
    return exit;
  }
  hosted_exit go(const Operation& what) {
    processors->start(0, what);
    return enter();
  }
  hosted_exit read(Gva gva) { return go(operation(Operation::Kind::read, gva)); }
  const Outcome& seen() { return processors->outcome(0); }

  std::unique_ptr<Arena> arena;
  Hfn first_table = 0;
  std::optional<Processors> processors;
  hosted_entry entry{};
};

class NestedProcessorTest : public ProcessorTest {
 protected:
  void SetUp() override {
    ProcessorTest::SetUp();
    entry.format = HOSTED_FORMAT_NPT;
    entry.intercept_page_fault = 0;
    entry.cr3 = 0x1000;
    for (Hfn gfn = 0; gfn < 64; ++gfn) map(gfn << 12, gfn);
    for (unsigned level = 0; level < 3; ++level) set(0x1000 * (level + 1), 0x1000 * (level + 2));
    set(0x4028, 0x5000);  // gva 0x5000
  }
  void set(Gpa at, std::uint64_t to) { ASSERT_TRUE(arena->store(at, to | pwu, 8)); }
};

}  // namespace lockstep::hw::hosted
