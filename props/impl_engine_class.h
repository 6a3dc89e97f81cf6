// SPDX-License-Identifier: GPL-2.0-or-later
/// The `impl` engine's parts: memory of a program, frames that tables name, and
/// the class itself. Private to props/impl_engine*.
#pragma once

#include <x86intrin.h>

#include <array>
#include <bit>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hw/hosted/engine.h"
#include "impl/vcpu.h"
#include "impl/vm.h"
#include "props/schedule/runner.h"
#include "spec/cpu/processor.h"
#include "spec/cpu/ticks.h"
#include "spec/engine.h"
#include "spec/engine_insides.h"
#include "spec/kvm/view.h"
#include "spec/x86/walk.h"

namespace lockstep::props::impl_engine {

enum class Path : std::uint8_t {
  commands,
  access,
  access_read,
  access_write,
  access_fetch,
  access_cpl0,
  access_cpl3,
  access_pf_fixed,
  access_pf,
  mmio_read,
  mmio_write,
  vcpu1,
  entry_write,
  slot_ok,
  slot_errno,
  dirty_get,
  dirty_clear,
  translate,
  cr3,
  invlpg,
  invpcid,
  control,
  shadow_page_zapped,
  tracked_write,
  tlb_hit,
  mmu_pages,
  page_recycled,
  host_migrate,
  host_protect,
  host_unprotect,
  host_age,
  host_split,
  host_collapse,
  host_discard,
  host_unmapped,
  ring_collect,
  shrink,
  nx_recover,
  unsync,
  synced,
  flooded,
  split,
  collapsed,
  nx_recovered,
  huge,
  fast_fault,
  mmio_spte,
  mmio_stale,
  fast_switch,
  zap_batches,
  tdp_mmu,
  parallel_block,
  preempted,
  mutant,
  invariants,
  count
};

inline constexpr std::array<std::string_view, static_cast<std::size_t>(Path::count)> path_names = {
    "commands",
    "access",
    "access read",
    "access write",
    "access fetch",
    "access cpl0",
    "access cpl3",
    "access pf_fixed",
    "access #PF",
    "mmio read",
    "mmio write",
    "vcpu1",
    "entry write",
    "slot ok",
    "slot errno",
    "dirty get",
    "dirty clear",
    "translate",
    "cr3",
    "invlpg",
    "invpcid",
    "control",
    "shadow page zapped",
    "write to tracked table",
    "tlb hit",
    "mmu pages",
    "shadow page recycled",
    "host migrate",
    "host protect",
    "host unprotect",
    "host age",
    "host split",
    "host collapse",
    "host discard",
    "spte dropped for the host",
    "ring collect",
    "shrink",
    "nx recover",
    "page unsync",
    "page synchronized",
    "page flooded",
    "huge page split",
    "huge page recovered",
    "nx page recovered",
    "huge page mapped",
    "fast page fault",
    "mmio spte hit",
    "mmio spte stale",
    "fast pgd switch",
    "zap in batches",
    "tdp mmu",
    "parallel block",
    "parallel block with preemptions",
    "mutant",
    "invariants"};

/// Commands of a program after which its inside is looked at, unless all are wanted.
using hw::hosted::longest_checked;

/// Table frames start above every frame of program memory.
inline constexpr Hfn first_table_frame = 1ull << 28;

/// Host memory of one program after another: each page names itself, and only
/// pages that a program stored to are written again.
class ProgramMemory {
 public:
  void reset(std::uint64_t bytes) {
    for (std::size_t word = 0; word < touched_.size(); ++word) {
      for (std::uint64_t bits = std::exchange(touched_[word], 0); bits != 0; bits &= bits - 1) {
        fill(word * 64 + static_cast<unsigned>(std::countr_zero(bits)));
      }
    }
    const std::size_t pages = (bytes + page_size - 1) / page_size;
    Hfn page = cells_.size() / cells_per_page;
    if (pages <= page) return;
    touched_.resize((pages + 63) / 64);
    cells_.resize(pages * cells_per_page);
    for (; page < pages; ++page) fill(page);
  }
  impl::HostMemory view(std::uint64_t bytes) {
    return {std::as_writable_bytes(std::span(cells_)).first(bytes & page_mask), touched_};
  }

 private:
  static constexpr std::size_t cells_per_page = page_size / 8;
  void fill(Hfn page) {
    const std::span<std::uint64_t> all(cells_);
    for (auto& cell : all.subspan(page * cells_per_page, cells_per_page)) {
      cell = code_cell(static_cast<std::uint32_t>(page));
    }
  }

  std::vector<std::uint64_t> cells_;
  std::vector<std::uint64_t> touched_;
};

/// The frames that tables name: shadow tables in the arena, guest pages in
/// program memory.
class Frames final : public spec::PhysicalMemory {
 public:
  Frames(impl::TableArena& arena, impl::HostMemory& memory) : arena_(&arena), memory_(&memory) {}

  std::uint64_t* table(Hfn frame) override {
    impl::ShadowPage* page = arena_->find(frame);
    return page == nullptr ? nullptr : page->table();
  }
  std::uint64_t load(Hfn frame, unsigned offset, unsigned size) override {
    return memory_->load_frame(frame, offset, size);
  }
  void store(Hfn frame, unsigned offset, unsigned size, std::uint64_t value) override {
    memory_->store_frame(frame, offset, size, value);
  }

 private:
  impl::TableArena* arena_;
  impl::HostMemory* memory_;
};

inline bool long_mode(PagingMode mode) {
  return mode == PagingMode::level4 || mode == PagingMode::level5;
}

/// One vCPU: the MMU's half, and the processor that runs it.
struct VirtualCpu {
  VirtualCpu(impl::Vm& vm, const impl::PagingRegisters& paging, std::uint64_t cr3,
             spec::PhysicalMemory& frames)
      : mmu(vm, paging, cr3), processor(frames, /*seed=*/0) {}
  impl::Vcpu mmu;
  spec::SoftwareCpu processor;
  std::uint64_t flushed = 0;
  Hfn root = 0;
};

/// The state of one program. Members are destroyed in reverse: vCPUs, then VM.
struct Machine {
  Machine(const Configuration& configuration, impl::TableArena& arena, impl::HostMemory memory,
          const impl::VmSettings& settings)
      : config(configuration), vm(std::move(memory), arena, settings), frames(arena, vm.memory()) {}
  Configuration config;
  UserSlots user_slots;
  impl::Vm vm;
  Frames frames;
  std::vector<std::unique_ptr<VirtualCpu>> vcpus;
  DirtyPages full_rings;  ///< taken out before a full ring stopped a vCPU
};

class ImplEngine final : public Engine,
                         public Complains,
                         public ExportsTables,
                         public CountsMemory,
                         public TimesMmu {
 public:
  ImplEngine();
  std::string_view name() const override { return "impl"; }
  const Platform& platform() const override { return platform_; }
  Result<void> begin(const Configuration& configuration, bool fresh) override;
  Result<Observation> execute(const Command& command) override;
  Result<std::vector<ParallelAnswer>> execute_parallel(
      std::span<const ParallelCommand> commands) override;
  Result<Observation> end() override;
  std::string complaint() const override { return complaint_; }
  std::unique_ptr<TableExport> export_tables(unsigned vcpu) override;
  std::optional<std::uint64_t> mmu_bytes() override;
  void time_mmu(bool on) override { timed_ = on; }
  std::uint64_t mmu_ticks() const override { return ticks_; }
  const std::map<std::string, std::uint64_t>& reached() const override;

 private:
  /// Unexpected, by impl's fault and nobody else's.
  Observation complain(std::string what) {
    if (complaint_.empty()) complaint_ = what;
    return Unexpected{std::move(what)};
  }
  void hit(Path path) { ++counts_[static_cast<std::size_t>(path)]; }
  impl::Vm& vm() { return machine_->vm; }
  Result<VirtualCpu*> vcpu(unsigned index);

  Result<Observation> run(const SlotAdd& command) { return set_slot(command); }
  Result<Observation> run(const SlotDelete& command) { return set_slot(command); }
  Result<Observation> run(const SlotMove& command) { return set_slot(command); }
  Result<Observation> run(const SlotFlags& command) { return set_slot(command); }
  Result<Observation> run(const Poke& command);
  Result<Observation> run(const Peek& command);
  Result<Observation> run(const EntrySet& command);
  Result<Observation> run(const Map&);
  Result<Observation> run(const AliasTable&);
  Result<Observation> run(const Access& command);
  Result<Observation> run(const LoadCr3& command);
  Result<Observation> run(const Invlpg& command);
  Result<Observation> run(const Invpcid& command);
  Result<Observation> run(const SetControl& command);
  Result<Observation> run(const SetPkru& command);
  Result<Observation> run(const Translate& command);
  Result<Observation> run(const DirtyGet& command);
  Result<Observation> run(const DirtyClear& command);
  Result<Observation> run(const RingCollect&);
  Result<Observation> run(const MmuPages& command);
  Result<Observation> run(const HostChange& command);
  Result<Observation> run(const Shrink& command);
  Result<Observation> run(const NxRecover&);

  Observation set_slot(const Command& command);
  Observation user_store(Gpa gpa, unsigned size, std::uint64_t value);
  void synchronize(VirtualCpu& cpu);
  spec::ProcessorState processor_state(const VirtualCpu& cpu) const;
  Observation use(const Access& command, Hfn frame);
  Observation fetched(std::uint64_t bytes) const;
  Observation emulate(VirtualCpu& cpu, const Access& command);
  Observation page_fault(VirtualCpu& cpu, const Access& command, std::uint32_t code);
  std::optional<Observation> handle(VirtualCpu& cpu, const Access& command,
                                    const spec::Outcome& outcome);
  void tally();
  spec::View view();
  bool checks_commands() const;
  std::string broken_invariants();
  std::string judge_invariants();
  void take_rings(DirtyPages& pages);

  /// The MMU runs as long as this lives.
  class Timed {
   public:
    explicit Timed(ImplEngine& engine) : engine_(engine.timed_ ? &engine : nullptr) {
      if (engine_ != nullptr) engine_->ticks_ -= __rdtsc();
    }
    Timed(const Timed&) = delete;
    Timed& operator=(const Timed&) = delete;
    ~Timed() {
      if (engine_ != nullptr) engine_->ticks_ += __rdtsc() - spec::tick_cost();
    }

   private:
    ImplEngine* engine_;
  };

  Platform platform_;
  impl::TableArena arena_{first_table_frame};
  ProgramMemory memory_;
  std::optional<Machine> machine_;
  std::array<std::uint64_t, static_cast<std::size_t>(Path::count)> counts_{};
  mutable std::map<std::string, std::uint64_t> reached_;
  hw::hosted::InvariantChecks checks_ = hw::hosted::invariant_checks_wanted();
  std::unique_ptr<schedule::Runner> runner_;  ///< made for the first parallel block
  lockstep::schedule::Tag guest_tag_{"guest"};
  bool timed_ = false;
  std::uint64_t ticks_ = 0;
  bool check_commands_ = false;       ///< of this program
  std::optional<spec::View> before_;  ///< the last that was taken of this program
  std::uint64_t programs_ = 0;
  std::uint64_t commands_ = 0;
  std::string complaint_;  ///< the first one of this program
};

}  // namespace lockstep::props::impl_engine
