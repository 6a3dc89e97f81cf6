// SPDX-License-Identifier: GPL-2.0-or-later
/// The software processors: what VMRUN and VMLAUNCH do in a hosted kernel.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "hw/hosted/arena.h"
#include "hw/hosted/boundary.h"
#include "hw/hosted/boundary_schedule.h"
#include "hw/hosted/operation.h"
#include "spec/command.h"
#include "spec/cpu/processor.h"

namespace lockstep::hw::hosted {

/// Frames as a processor reaches them through the kernel's tables.
class ArenaMemory final : public spec::PhysicalMemory {
 public:
  explicit ArenaMemory(Arena& arena) : arena_(&arena) {}

  /// Whether a frame is a live page of the kernel's allocator; null while the
  /// image cannot tell.
  using IsLive = int (*)(hosted_u64 frame);
  void set_liveness(IsLive is_live) { is_live_ = is_live; }

  /// A processor is about to read an entry of a table; null: nobody asks.
  using BeforeTable = void (*)(void* context, Hfn frame);
  void set_before_table(BeforeTable before, void* context) {
    before_table_ = before;
    context_ = context;
  }

  std::uint64_t* table(Hfn frame) override;
  std::uint64_t load(Hfn frame, unsigned offset, unsigned size) override;
  void store(Hfn frame, unsigned offset, unsigned size, std::uint64_t value) override;

  /// A leaf named a frame that is no user page; cleared by the call.
  std::optional<Hfn> take_foreign() { return std::exchange(foreign_, std::nullopt); }

 private:
  Arena* arena_;
  IsLive is_live_ = nullptr;
  BeforeTable before_table_ = nullptr;
  void* context_ = nullptr;
  std::optional<Hfn> foreign_;
};

/// All processors of one virtual machine, on the CPUs of one host.
///
/// Translations leave a TLB only by the flush that an entry asks for, by
/// another ASID (or EPT root), by invalidate(), or by what the guest executes
/// without an exit. Each CPU keeps its own of each vCPU that has run there, and
/// all of this reaches those of the CPU that executes it.
class Processors {
 public:
  explicit Processors(Arena& arena) : memory_(arena) {}

  ArenaMemory& memory() { return memory_; }

  /// Begin a program: nothing is cached, no operation is pending, CPU 0 runs.
  void reset(const ProcessorModel& model, unsigned vcpus);
  /// The next operation of a vCPU; it runs at the next entries.
  void start(unsigned vcpu, const Operation& operation);
  /// What became of it; `running` if the kernel left to user space meanwhile.
  const Outcome& outcome(unsigned vcpu) const { return vcpus_[vcpu].outcome; }
  /// Faults of the operation that runs on a vCPU, so far.
  unsigned faults(unsigned vcpu) const { return vcpus_[vcpu].faults; }
  /// User space has the thread again: no guest register is in a real one.
  void after_run();
  /// What is called from here on, happens on this CPU of the host (below HOSTED_CPUS).
  void be_cpu(unsigned cpu);

  /// One VM entry up to its exit.
  void run(void* vm, hosted_entry& entry, hosted_exit& exit);
  void invalidate(unsigned vcpu, unsigned asid, std::uint64_t address);
  void invalidate_all(unsigned asid);
  /// INVEPT of one pointer: the CPU keeps no translation by these tables.
  void invalidate_root(std::uint64_t ept_pointer);

  /// A translation that a vCPU's TLB keeps, on the CPU where it ran last, and the tables at
  /// `root` no longer grant; none if there is none, or the vCPU did not use that root last.
  /// `root`: of the tables that it will enter its guest with, there and without a flush.
  std::optional<spec::Stale> overdue(unsigned vcpu, Hfn root);
  /// Several CPUs run until the next call: see spec::ProcessorState.
  void others_run(bool run) { others_run_ = run; }

  /// Events since construction, for Engine::reached().
  struct Counts {
    std::uint64_t entries = 0;
    std::uint64_t tlb_hits = 0;
    std::uint64_t page_faults = 0;
    std::uint64_t nested_faults = 0;
    std::uint64_t logged = 0;     ///< entries of page-modification logs
    std::uint64_t full_logs = 0;  ///< exits because of one
    std::uint64_t emulated = 0;
    std::uint64_t injected = 0;
    std::uint64_t flushes = 0;
    std::uint64_t invalidations = 0;
    std::uint64_t root_invalidations = 0;  ///< INVEPT of one pointer
  };
  const Counts& counts() const { return counts_; }

 private:
  /// What one CPU keeps of one vCPU.
  struct Kept {
    Kept(spec::PhysicalMemory& memory, std::uint64_t seed) : processor(memory, seed) {}
    spec::SoftwareCpu processor;
    unsigned asid = 0;
  };
  struct Vcpu {
    /// By CPU; made when it first runs there.
    std::array<std::unique_ptr<Kept>, HOSTED_CPUS> kept;
    std::uint64_t seed = 0;  ///< of evictions on CPU 0
    Operation operation;
    Outcome outcome{.kind = Outcome::Kind::done};
    bool entered = false;  ///< the operation's registers are loaded
    unsigned faults = 0;
    /// PDPTEs of PAE paging under NPT, and the CR3 that they were loaded for.
    bool pdptes_valid = false;
    std::uint64_t pdptes_cr3 = 0;
    std::uint64_t pdptes_cr4 = 0;
    std::array<std::uint64_t, 4> pdptes{};
    std::uint64_t cr4 = 0;          ///< at the last entry
    spec::PageModificationLog log;  ///< as the entry loaded it
    hosted_entry last{};            ///< as the guest left it
    unsigned last_cpu = 0;
    bool has_run = false;
  };

  /// EPT tags by the table's address, bits 11:0 of the pointer apart (SDM: EP4TA). AMD tags
  /// by ASID and shadow paging on Intel by VPID: those contexts are even.
  static std::uint64_t context_of_root(std::uint64_t ept_pointer) {
    return (ept_pointer & page_mask) | 1;
  }
  static std::uint64_t context_of_asid(unsigned asid) { return std::uint64_t{asid} << 1; }
  static std::uint64_t seed_on(unsigned cpu, const Vcpu& vcpu);
  Kept& kept(Vcpu& vcpu);
  spec::SoftwareCpu& processor(Vcpu& vcpu) { return kept(vcpu).processor; }
  /// Call function(Kept&) for each vCPU that has run on this CPU.
  template <typename Function>
  void each_here(Function&& function) {
    for (Vcpu& vcpu : vcpus_) {
      if (vcpu.kept[cpu_]) function(*vcpu.kept[cpu_]);
    }
  }
  void honour_flush(Vcpu& vcpu, void* vm, const hosted_entry& entry);
  spec::ProcessorState state_of(Vcpu& vcpu, const hosted_entry& entry) const;
  void load_registers(const Operation& operation, hosted_entry& entry) const;
  void deliver(Vcpu& vcpu, const hosted_entry& entry);
  void perform(Vcpu& vcpu, hosted_entry& entry, hosted_exit& exit);
  void access(Vcpu& vcpu, hosted_entry& entry, hosted_exit& exit);
  void use(Vcpu& vcpu, Hfn frame);
  void mov_cr(Vcpu& vcpu, hosted_entry& entry, hosted_exit& exit);
  void invpcid(Vcpu& vcpu, hosted_entry& entry, hosted_exit& exit);
  bool pdptes_current(const Vcpu& vcpu, const hosted_entry& entry) const;
  /// A walk under NPT reads PDPTEs as it goes: reserved bits fault when it meets them, and
  /// are no #GP (APM "Nested Paging", legacy PAE mode).
  enum class PdpteUse : std::uint8_t { mov_to_cr3, walk };
  bool load_pdptes(Vcpu& vcpu, hosted_entry& entry, std::uint64_t cr3, PdpteUse use,
                   hosted_exit& exit);
  void exit_nested(const Vcpu& vcpu, const spec::NestedFault& fault, hosted_exit& exit);
  bool count_fault(Vcpu& vcpu);

  ArenaMemory memory_;
  ProcessorModel model_;
  bool others_run_ = false;
  unsigned cpu_ = 0;
  std::vector<Vcpu> vcpus_;
  std::array<void*, HOSTED_CPUS> vms_{};  ///< whose guests ran there last
  /// What is in MM0 while the kernel emulates an instruction that stores it; by CPU. All of
  /// them are fibers of one thread, which has one such register.
  std::array<std::optional<std::uint64_t>, HOSTED_CPUS> mm0_{};
  Counts counts_;
};

}  // namespace lockstep::hw::hosted
