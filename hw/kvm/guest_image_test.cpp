// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kvm/guest_image.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "hw/kvm/harness_tables.h"
#include "hw/kvm/memory.h"

namespace lockstep::hw {
namespace {

constexpr PagingMode modes[] = {PagingMode::none, PagingMode::bits32, PagingMode::pae,
                                PagingMode::level4, PagingMode::level5};
constexpr std::byte int3{0xcc};
constexpr std::byte hlt{0xf4};

std::uint64_t entry_of(const std::vector<std::byte>& slot, std::uint64_t page, std::uint64_t index,
                       unsigned width) {
  std::uint64_t value = 0;
  std::memcpy(&value, &slot[page + index * width], width);
  return value;
}

TEST(GuestImage, StubsStopByInt3AtCpl3AndByHltAtCpl0) {
  for (const PagingMode mode : modes) {
    std::vector<std::byte> slot(harness_slot_size);
    build_guest_image(slot, mode);
    for (unsigned i = 0; i < stub_count; ++i) {
      const auto stub = static_cast<Stub>(i);
      if (stub == Stub::iret || stub == Stub::fetch) continue;
      const std::uint64_t stop = stop_offset(mode, stub);
      EXPECT_GE(stop, stub_offset(mode, stub));
      EXPECT_EQ(slot[harness_page::user_code + stop], int3) << i;
      EXPECT_EQ(slot[harness_page::supervisor_code + stop], hlt) << i;
    }
  }
}

TEST(GuestImage, VectorIsWhereTheHltWas) {
  const HarnessLayout layout = HarnessLayout::of(PagingMode::level4);
  EXPECT_EQ(vector_at(layout, layout.supervisor + 1), 0u);
  EXPECT_EQ(vector_at(layout, layout.supervisor + 2 * 14 + 1), 14u);
  EXPECT_EQ(vector_at(layout, layout.supervisor + 2 * 32 + 1), std::nullopt);
  EXPECT_EQ(vector_at(layout, layout.supervisor + 2), std::nullopt);
  EXPECT_EQ(vector_at(layout, 0x40'0000), std::nullopt);
}

/// Walk the harness tables from a root entry, as a processor would.
Gpa walk(const std::vector<std::byte>& slot, PagingMode mode, Gva gva, std::uint64_t& rights) {
  const unsigned width = entry_size(mode);
  const unsigned bits = mode == PagingMode::bits32 ? 10 : 9;
  const auto depth = static_cast<unsigned>(root_level(mode));
  const auto index_at = [&](unsigned level) {
    return (gva >> (page_shift + bits * (level - 1))) & ((1u << bits) - 1);
  };
  std::uint64_t now = 0;
  for (const RootEntry& entry : harness_root_entries(mode)) {
    if (entry.index == (mode == PagingMode::pae ? gva >> 30 & 3 : index_at(depth)))
      now = entry.value;
  }
  rights = ~0ull;
  for (unsigned level = depth; level > 1; --level) {
    if ((now & entry::present) == 0) return ~0ull;
    const Gpa table = now & entry::address;
    now = entry_of(slot, table - harness::base, index_at(level - 1), width);
    rights = now;
  }
  return (now & entry::address) | (gva & (page_size - 1));
}

TEST(GuestImage, HarnessTablesMapTheLayout) {
  for (const PagingMode mode : modes) {
    if (mode == PagingMode::none) continue;
    std::vector<std::byte> slot(harness_slot_size);
    build_guest_image(slot, mode);
    const HarnessLayout layout = HarnessLayout::of(mode);
    std::uint64_t rights = 0;
    EXPECT_EQ(walk(slot, mode, layout.supervisor + 0x123, rights), harness_gpa(0x123));
    EXPECT_EQ(rights & entry::user, 0u);
    EXPECT_EQ(walk(slot, mode, layout.window + 0x1f'f008, rights), 0x1f'f008u);
    EXPECT_NE(rights & entry::user, 0u);
    EXPECT_NE(rights & entry::writable, 0u);
    EXPECT_NE(rights & entry::dirty, 0u);
    EXPECT_EQ(walk(slot, mode, layout.user_code + 5, rights),
              harness_gpa(harness_page::user_code + 5));
    EXPECT_NE(rights & entry::user, 0u);
    EXPECT_EQ(rights & entry::writable, 0u);
    EXPECT_EQ(walk(slot, mode, layout.parameters, rights), harness_gpa(harness_page::parameters));
    for (const RootEntry& entry : harness_root_entries(mode)) {
      EXPECT_GE(entry.index, harness_index(mode));
    }
  }
}

TEST(ProgramMemory, EveryPageNamesItselfUntilWritten) {
  auto created = PatternFile::create();
  ASSERT_TRUE(created);
  const auto pattern = std::make_shared<PatternFile>(std::move(*created));
  auto memory = ProgramMemory::map(pattern, 1 << 20);
  ASSERT_TRUE(memory);
  std::uint64_t value = 0;
  ASSERT_TRUE(memory->load(0x5008, value, 8));
  EXPECT_EQ(value, code_cell(5));
  ASSERT_TRUE(memory->store(0x5008, 7, 4));
  ASSERT_TRUE(memory->load(0x5008, value, 8));
  EXPECT_EQ(value, (code_cell(5) & ~0xffff'ffffull) | 7);
  ASSERT_TRUE(memory->reset());
  ASSERT_TRUE(memory->load(0x5008, value, 8));
  EXPECT_EQ(value, code_cell(5));
  EXPECT_FALSE(memory->load((1 << 20) - 4, value, 8));
  EXPECT_FALSE(memory->store(~0ull, 0, 8));
  EXPECT_FALSE(pattern->grow(memory_limit + page_size));
}

}  // namespace
}  // namespace lockstep::hw
