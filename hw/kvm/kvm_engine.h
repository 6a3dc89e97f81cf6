// SPDX-License-Identifier: GPL-2.0-or-later
/// The engine's own state; everybody else includes engine.h.
#pragma once

#include <list>
#include <memory>
#include <mutex>

#include "hw/kvm/engine.h"
#include "hw/kvm/harness_tables.h"
#include "hw/kvm/vm.h"
#include "hw/kvm/watchdog.h"

namespace lockstep::hw {

/// Counts the paths that ran, on any thread. Names are those of Engine::reached().
class Reached {
 public:
  using Counts = std::map<std::string, std::uint64_t>;
  class Counter {
   public:
    Counter(Reached& reached, const char* name) : reached_(reached), name_(name) {}
    void operator++() {
      const std::scoped_lock lock(reached_.mutex_);
      ++reached_.counts_[name_];
    }

   private:
    Reached& reached_;
    const char* name_;
  };
  Counter operator[](const char* name) { return {*this, name}; }
  /// While no other thread counts.
  const Counts& counts() const { return counts_; }

 private:
  std::mutex mutex_;
  Counts counts_;
};

class KvmEngine final : public Engine {
 public:
  KvmEngine(Fd kvm, GuestCpuid cpuid, Platform platform, GuestStyle style,
            std::shared_ptr<PatternFile> pattern);
  ~KvmEngine() override;

  std::string_view name() const override { return "kvm"; }
  const Platform& platform() const override { return platform_; }
  Result<void> begin(const Configuration& configuration, bool fresh) override;
  Result<Observation> execute(const Command& command) override;
  Result<std::vector<ParallelAnswer>> execute_parallel(
      std::span<const ParallelCommand> commands) override;
  Result<Observation> end() override;
  const std::map<std::string, std::uint64_t>& reached() const override;

 private:
  /// VMs kept for programs to come.
  static constexpr std::size_t kept_vms = 4;

  // kvm_engine.cpp: the life of a program, and what user space does.
  std::optional<std::string> refusal(const Configuration& configuration) const;
  Result<void> take_vm(const VmKey& key, bool fresh);
  Result<void> clean();
  Result<Observation> set_slot(const Command& command);
  Result<Observation> on(const SlotAdd& command) { return set_slot(command); }
  Result<Observation> on(const SlotDelete& command) { return set_slot(command); }
  Result<Observation> on(const SlotMove& command) { return set_slot(command); }
  Result<Observation> on(const SlotFlags& command) { return set_slot(command); }
  Result<Observation> on(const Poke& command);
  Result<Observation> on(const Peek& command);
  Result<Observation> on(const DirtyGet& command);
  Result<Observation> on(const DirtyClear& command);
  Result<Observation> on(const RingCollect&);
  Result<Observation> on(const MmuPages& command);
  Result<Observation> on(const HostChange& command);
  Result<Observation> on(const Shrink&) { return lacking(Feature::shrinker); }
  Result<Observation> on(const NxRecover&) { return lacking(Feature::nx_recovery); }
  static Result<Observation> lacking(Feature feature);
  Result<Observation> on(const Map&) { return not_lowered(); }
  Result<Observation> on(const AliasTable&) { return not_lowered(); }
  static Result<Observation> not_lowered();

  // guest_commands.cpp: what a vCPU does.
  Result<Observation> on(const EntrySet& command);
  Result<Observation> on(const Access& command);
  Result<Observation> on(const LoadCr3& command);
  Result<Observation> on(const Invlpg& command);
  Result<Observation> on(const Invpcid& command);
  Result<Observation> on(const SetControl& command);
  Result<Observation> on(const SetPkru& command);
  Result<Observation> on(const Translate& command);
  /// The vCPU, started and able to enter the harness.
  Result<Vcpu*> ready(unsigned vcpu);
  /// Write the harness entries into every root that a slot backs.
  Result<void> plant_roots();
  Observation store_through_window(Vcpu& vcpu, unsigned index, const EntrySet& command);
  Observation finished(const Stop& stop) const;
  /// Let vCPUs of a block begin at different distances, as its schedule says.
  static void linger(std::uint64_t schedule, unsigned thread);
  /// The harness of a vCPU may have lost its translations.
  void chill(std::optional<unsigned> vcpu = std::nullopt);
  /// Give a chilled harness its translations back and read pf_fixed.
  void warm(Vcpu& vcpu, unsigned index);

  /// What the engine remembers of one vCPU of the program.
  struct VcpuMemo {
    bool cold = true;
    bool pf_fixed_known = false;
    std::uint64_t pf_fixed = 0;
    std::uint32_t pkru = 0;
  };

  Fd kvm_;
  GuestCpuid cpuid_;
  Platform platform_;
  GuestStyle style_;
  std::shared_ptr<PatternFile> pattern_;
  Configuration configuration_;
  // Before the VMs, which map it.
  std::optional<ProgramMemory> memory_;
  std::list<std::unique_ptr<Vm>> vms_;  ///< most recently used first
  Vm* vm_ = nullptr;                    ///< of the program that runs
  std::optional<Watchdog> watchdog_;
  UserSlots slots_;
  std::vector<RootEntry> root_entries_;
  std::vector<VcpuMemo> memos_;
  bool roots_planted_ = false;
  bool parallel_ = false;  ///< vCPUs run on threads of their own
  bool keep_vm_ = true;
  Reached reached_;
};

}  // namespace lockstep::hw
