// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/impl_engine.h"

#include <gtest/gtest.h>

namespace lockstep::props {
namespace {

constexpr std::uint64_t pwu = entry::present | entry::writable | entry::user;

class ImplEngineTest : public testing::TestWithParam<MmuKind> {
 protected:
  void begin(Configuration configuration) {
    configuration.mmu = GetParam();
    bytes = entry_size(configuration.paging);
    ASSERT_TRUE(engine->begin(configuration, /*fresh=*/true));
  }
  void begin_mapped(Configuration configuration = {}) {
    begin(configuration);
    ASSERT_EQ(run(SlotAdd{.id = 0, .gpa = 0, .size = 0x100000}), Observation(Done{}));
    entry(0x1000, 0, 0x2000 | pwu);
    entry(0x2000, 0, 0x3000 | pwu);
    entry(0x3000, 0, 0x4000 | pwu);
    for (unsigned i = 0; i < 16; ++i) entry(0x4000, i, (0x20000 + i * 0x1000) | pwu);
  }
  Observation run(const Command& command) {
    auto result = engine->execute(command);
    return result ? *std::move(result) : Observation{Unexpected{result.error().message}};
  }
  void entry(Gpa table, unsigned index, std::uint64_t value) {
    ASSERT_EQ(run(store(std::nullopt, table, index, value)), Observation(Done{}));
  }
  static EntrySet store(std::optional<unsigned> vcpu, Gpa table, unsigned index,
                        std::uint64_t value) {
    return {.vcpu = vcpu, .table = table, .index = index, .value = value};
  }
  Observation access(AccessKind kind, Gva gva, std::uint64_t value = 0, Cpl cpl = Cpl::user,
                     unsigned vcpu = 0) {
    return run(Access{.vcpu = vcpu, .kind = kind, .cpl = cpl, .gva = gva, .value = value});
  }
  Observation read(Gva gva) { return access(AccessKind::read, gva); }
  Observation write(Gva gva, std::uint64_t value) { return access(AccessKind::write, gva, value); }
  void TearDown() override {
    const auto ended = engine->end();
    ASSERT_TRUE(ended);
    EXPECT_EQ(*ended, Observation(Done{}));
  }

  unsigned bytes = 8;
  std::unique_ptr<Engine> engine = make_impl_engine();
};
INSTANTIATE_TEST_SUITE_P(Mmu, ImplEngineTest, testing::Values(MmuKind::shadow, MmuKind::tdp),
                         [](const auto& info) {
                           return info.param == MmuKind::tdp ? "tdp" : "shadow";
                         });

TEST_P(ImplEngineTest, ReadWriteFetch) {
  begin_mapped();
  EXPECT_EQ(read(0x1000), Observation(Value{code_cell(0x21)}));
  EXPECT_EQ(access(AccessKind::fetch, 0x1008), Observation(Value{0x21}));
  EXPECT_EQ(write(0x1008, 0x1234), Observation(Done{}));
  EXPECT_EQ(read(0x1008), Observation(Value{0x1234}));
  EXPECT_TRUE(std::holds_alternative<Unexpected>(access(AccessKind::fetch, 0x1008)));
  EXPECT_EQ(run(Peek{.gpa = 0x21008}), Observation(Value{0x1234}));
  EXPECT_EQ(read(0x10000), Observation(PageFault{4, 0x10000}));
  EXPECT_EQ(read(0x8000'0000'0000), Observation(Exception{13}));
  EXPECT_GT(engine->reached().at("access pf_fixed"), 0u);
}

TEST_P(ImplEngineTest, GuestChangesATableAndFlushes) {
  begin_mapped();
  EXPECT_EQ(write(0x1000, 1), Observation(Done{}));
  EXPECT_EQ(run(store(0, 0x4000, 1, 0x25000 | pwu)), Observation(Done{}));
  EXPECT_EQ(run(Invlpg{.vcpu = 0, .gva = 0x1000}), Observation(Done{}));
  EXPECT_EQ(read(0x1000), Observation(Value{code_cell(0x25)}));
  EXPECT_EQ(run(store(0, 0x3000, 0, 0)), Observation(Done{}));
  EXPECT_EQ(run(LoadCr3{.vcpu = 0, .root = 0x1000}), Observation(Done{}));
  EXPECT_EQ(write(0x1000, 1), Observation(PageFault{6, 0x1000}));
}

TEST_P(ImplEngineTest, GuestWritesItsTableThroughAMapping) {
  begin_mapped();
  EXPECT_EQ(run(store(std::nullopt, 0x4000, 2, 0x4000 | pwu)), Observation(Done{}));
  EXPECT_EQ(read(0x1000), Observation(Value{code_cell(0x21)}));
  EXPECT_EQ(write(0x2008, 0x26000 | pwu), Observation(Done{}));  // entry 1
  EXPECT_EQ(run(Invlpg{.vcpu = 0, .gva = 0x1000}), Observation(Done{}));
  EXPECT_EQ(read(0x1000), Observation(Value{code_cell(0x26)}));
}

TEST_P(ImplEngineTest, SecondVcpuSeesTheFlush) {
  Configuration configuration;
  configuration.vcpus = 2;
  begin_mapped(configuration);
  EXPECT_EQ(access(AccessKind::read, 0x1000, 0, Cpl::user, 1), Observation(Value{code_cell(0x21)}));
  EXPECT_EQ(run(SlotDelete{.id = 0}), Observation(Done{}));
  const Observation gone = access(AccessKind::read, 0x1000, 0, Cpl::user, 1);
  EXPECT_FALSE(std::holds_alternative<Value>(gone));
  EXPECT_EQ(engine->reached().at("vcpu1"), 2u);
}

TEST_P(ImplEngineTest, Mmio) {
  begin_mapped();
  entry(0x4000, 0, 0x900000 | pwu);
  EXPECT_EQ(run(Access{.kind = AccessKind::read, .gva = 0x10, .size = 4}),
            Observation(Mmio{.write = false, .gpa = 0x900010, .size = 4}));
  EXPECT_EQ(run(Access{.kind = AccessKind::write, .gva = 0x10, .value = 0x1'0000'0002, .size = 4}),
            Observation(Mmio{.write = true, .gpa = 0x900010, .size = 4, .value = 2}));
  // KVM: handle_emulation_failure().
  EXPECT_EQ(access(AccessKind::fetch, 0), Observation(Exception{6}));
  entry(0x4000, 1, 0x900000 | entry::present);
  EXPECT_EQ(access(AccessKind::fetch, 0x1000, 0, Cpl::supervisor), Observation(InternalError{1}));
  EXPECT_EQ(run(store(0, 0x180000, 0, 7)),
            Observation(Mmio{.write = true, .gpa = 0x180000, .size = 8, .value = 7}));
}

TEST_P(ImplEngineTest, DirtyLogSeesEveryWriteAfterGet) {
  begin_mapped();
  ASSERT_EQ(run(SlotFlags{.id = 0, .log = true}), Observation(Done{}));
  const auto page = [&](Gfn gfn) {
    const auto log = std::get<DirtyBitmap>(run(DirtyGet{.id = 0}));
    return ((log.words.at(gfn / 64) >> (gfn % 64)) & 1) != 0;
  };
  for (unsigned round = 0; round < 3; ++round) {
    EXPECT_EQ(write(0x3000, round), Observation(Done{}));
    EXPECT_TRUE(page(0x23));
    EXPECT_FALSE(page(0x23));
    EXPECT_EQ(run(store(0, 0x4000, 9, 0x29000 | pwu)), Observation(Done{}));
    EXPECT_TRUE(page(4));
  }
}

TEST_P(ImplEngineTest, MemoryIsFreshInEveryProgram) {
  begin_mapped();
  EXPECT_EQ(write(0x1000, 1), Observation(Done{}));
  begin_mapped();
  EXPECT_EQ(read(0x1000), Observation(Value{code_cell(0x21)}));
  EXPECT_EQ(run(Peek{.gpa = 0x4100}), Observation(Value{code_cell(4)}));
}

TEST_P(ImplEngineTest, OtherModes) {
  for (const PagingMode mode :
       {PagingMode::none, PagingMode::bits32, PagingMode::pae, PagingMode::level5}) {
    Configuration configuration;
    configuration.paging = mode;
    begin(configuration);
    ASSERT_EQ(run(SlotAdd{.id = 0, .gpa = 0, .size = 0x100000}), Observation(Done{}));
    Gva gva = 0x1000;
    switch (mode) {
      case PagingMode::none:
        gva = 0x21000;
        break;
      case PagingMode::bits32:
        entry(0x1000, 0, 0x2000 | pwu);
        entry(0x2000, 1, 0x21000 | pwu);
        break;
      case PagingMode::pae:
        entry(0x1000, 0, 0x2000 | entry::present);
        entry(0x2000, 0, 0x3000 | pwu);
        entry(0x3000, 1, 0x21000 | pwu);
        break;
      default:
        for (unsigned i = 1; i < 5; ++i) entry(i << 12, 0, ((i + 1) << 12) | pwu);
        entry(0x5000, 1, 0x21000 | pwu);
    }
    const Access fetch{.kind = AccessKind::fetch, .gva = gva};
    EXPECT_EQ(run(fetch), Observation(Value{0x21}));
    EXPECT_EQ(run(Access{.kind = AccessKind::write, .gva = gva, .value = 5, .size = 4}),
              Observation(Done{}));
    EXPECT_EQ(run(Access{.kind = AccessKind::read, .gva = gva, .size = 4}), Observation(Value{5}));
    const auto ended = engine->end();
    ASSERT_TRUE(ended);
    EXPECT_EQ(*ended, Observation(Done{}));
  }
}

TEST_P(ImplEngineTest, ControlRegisters) {
  begin_mapped();
  using enum ControlBit;
  EXPECT_EQ(run(SetControl{.bit = cr4_smap, .on = true}), Observation(Done{}));
  EXPECT_EQ(access(AccessKind::read, 0x1000, 0, Cpl::supervisor),
            Observation(PageFault{1, 0x1000}));
  EXPECT_EQ(run(SetControl{.bit = cr4_smap, .on = false}), Observation(Done{}));
  EXPECT_EQ(access(AccessKind::read, 0x1000, 0, Cpl::supervisor),
            Observation(Value{code_cell(0x21)}));
  EXPECT_EQ(run(LoadCr3{.root = 0x1000, .noflush = true}), Observation(Exception{13}));
  EXPECT_EQ(run(SetControl{.bit = cr4_pcide, .on = true}), Observation(Done{}));
  EXPECT_EQ(run(LoadCr3{.root = 0x1000, .pcid = 5, .noflush = true}), Observation(Done{}));
  EXPECT_EQ(run(Invpcid{.type = InvpcidType::single, .pcid = 5}), Observation(Done{}));
  EXPECT_EQ(run(Translate{.gva = 0x1234}), Observation(Translation{0x21234}));
  EXPECT_EQ(run(SetPkru{.value = 4}), Observation(Exception{6}));
  const bool tdp = GetParam() == MmuKind::tdp;
  EXPECT_EQ(run(SetControl{.bit = cr4_pke, .on = true}),
            tdp ? Observation(Done{}) : Observation(Exception{13}));
}

TEST_P(ImplEngineTest, TableInReadOnlySlotIsWalkedWithoutFlags) {
  begin_mapped();
  ASSERT_EQ(run(SlotAdd{.id = 1, .gpa = 0x400000, .size = 0x1000, .hva = 0x100000}),
            Observation(Done{}));
  entry(0x400000, 0, 0x21000 | pwu);
  ASSERT_EQ(run(SlotDelete{.id = 1}), Observation(Done{}));
  ASSERT_EQ(
      run(SlotAdd{.id = 1, .gpa = 0x400000, .size = 0x1000, .hva = 0x100000, .read_only = true}),
      Observation(Done{}));
  entry(0x3000, 1, 0x400000 | pwu);
  EXPECT_EQ(read(0x200000), Observation(Value{code_cell(0x21)}));
  EXPECT_EQ(write(0x200000, 3), Observation(Done{}));
  EXPECT_EQ(read(0x200000), Observation(Value{3}));
  EXPECT_EQ(run(Peek{.gpa = 0x400000}), Observation(Value{0x21000 | pwu}));
}

TEST_P(ImplEngineTest, WhatTheHostTakesIsMappedNoMore) {
  begin_mapped();
  const auto host = [&](HostAction action) {
    return run(HostChange{action, 0x20000, 2 * page_size});
  };
  const auto unmapped = [&] {
    ASSERT_EQ(engine->end(), Observation(Done{}));
    EXPECT_GT(engine->reached().at("spte dropped for the host"), 0u);
  };
  EXPECT_EQ(write(0, 1), Observation(Done{}));
  EXPECT_EQ(host(HostAction::protect), Observation(Done{}));
  EXPECT_EQ(write(0, 2), Observation(Errno{EFAULT}));
  EXPECT_EQ(read(0), Observation(Value{1}));
  EXPECT_EQ(write(0, 2), Observation(Errno{EFAULT}));
  EXPECT_EQ(run(Poke{.gpa = 0x20000}), Observation(Errno{EFAULT}));
  EXPECT_EQ(write(0x2000, 2), Observation(Done{}));
  EXPECT_EQ(host(HostAction::unprotect), Observation(Done{}));
  EXPECT_EQ(write(0, 3), Observation(Done{}));
  EXPECT_EQ(host(HostAction::migrate), Observation(Done{}));
  EXPECT_EQ(read(0), Observation(Value{3}));
  EXPECT_EQ(host(HostAction::discard), Observation(Done{}));
  EXPECT_EQ(read(0), Observation(Value{code_cell(0x20)}));
  unmapped();
}

TEST_P(ImplEngineTest, TheLimitOfShadowPagesHolds) {
  begin_mapped();
  EXPECT_EQ(run(MmuPages{63}), Observation(Errno{EINVAL}));
  EXPECT_EQ(run(MmuPages{64}), Observation(Done{}));
  // More page tables than may be shadowed at a time.
  for (unsigned i = 1; i < 100; ++i) {
    entry(0x3000, i, (0x40000 + i * 0x1000) | pwu);
    entry(0x40000 + i * 0x1000, 0, 0x20000 | pwu);
  }
  for (unsigned i = 0; i < 100; ++i) {
    EXPECT_EQ(read(std::uint64_t{i} << 21), Observation(Value{code_cell(0x20)}));
  }
  EXPECT_EQ(engine->end(), Observation(Done{}));
  const bool shadow = GetParam() == MmuKind::shadow;
  EXPECT_EQ(engine->reached().contains("shadow page recycled"), shadow);
}

}  // namespace
}  // namespace lockstep::props
