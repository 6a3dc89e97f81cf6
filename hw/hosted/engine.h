// SPDX-License-Identifier: GPL-2.0-or-later
/// The `hosted` engine: programs on the kernel's own KVM, in this process, under
/// software processors.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/hosted/aliases.h"
#include "hw/hosted/cpus.h"
#include "hw/hosted/fault_plan.h"
#include "hw/hosted/machine.h"
#include "hw/hosted/quiet_listener.h"
#include "hw/hosted/reached.h"
#include "hw/hosted/session.h"
#include "hw/hosted/snapshot.h"
#include "hw/hosted/statistics.h"
#include "hw/hosted/traps.h"
#include "hw/kvm/guest_image.h"
#include "hw/kvm/harness_tables.h"
#include "spec/engine.h"
#include "spec/engine_insides.h"
#include "spec/kvm/invariants.h"
#include "spec/kvm/view.h"

namespace lockstep::hw::hosted {

/// When the inside of the VM is checked (spec/kvm/invariants.h).
enum class InvariantChecks : std::uint8_t { off, sampled, every_program, every_command };

/// As LOCKSTEP_INVARIANTS says: "off", "all", "step"; else sampled.
InvariantChecks invariant_checks_wanted();

/// Of a program with more commands than this, the rest goes unchecked unless
/// asked for.
inline constexpr std::uint64_t longest_checked = 400;

class HostedEngine final : public Engine, public Complains, public CountsMemory, public TimesMmu {
 public:
  /// Map the image and try what it can do. `name` is the engine's. What runs is
  /// counted in `coverage`, if given; not owned.
  static Result<std::unique_ptr<HostedEngine>> open(const std::filesystem::path& image,
                                                    std::string name, Coverage* coverage = nullptr);
  /// An engine whose programs run on several CPUs, as somebody schedules them; the image
  /// is of the flavour asan+schedule or tsan.
  static Result<std::unique_ptr<HostedEngine>> open_scheduled(const std::filesystem::path& image,
                                                              std::string name);
  ~HostedEngine() override;

  std::string_view name() const override { return name_; }
  const Platform& platform() const override { return platform_; }
  Result<void> begin(const Configuration& configuration, bool fresh) override;
  Result<Observation> execute(const Command& command) override;
  Result<Observation> end() override;
  std::string complaint() const override { return complaint_; }
  const std::map<std::string, std::uint64_t>& reached() const override;

  /// Features that are missing, and why.
  const std::vector<std::pair<Feature, std::string>>& missing() const { return missing_; }
  /// Which allocations fail, from the next begin() on, until the next call.
  void set_faults(const FaultPlan& plan) { faults_ = plan; }
  /// Until another call; sampled becomes every program after a violation.
  void check_invariants(InvariantChecks when) { checks_ = when; }
  /// Slab objects and pages that the kernel has allocated.
  std::optional<std::uint64_t> mmu_bytes() override;
  /// All of the kernel, and what it calls of the shim.
  void time_mmu(bool on) override { session_->host().time_kernel(on); }
  std::uint64_t mmu_ticks() const override { return session_->host().kernel_ticks(); }
  /// The inside of the program's VM, between begin() and end().
  Result<spec::View> view();

  // Of engines that are scheduled, between begin() and end(): engine_schedule.cpp.

  /// Keep the program's VM as it is; vCPUs are started.
  Result<void> freeze();
  /// The VM is again as it was at freeze(), and the kernel tells `listener` what it does
  /// until thaw() or halt().
  Result<void> rerun(lockstep::schedule::Listener& listener);
  /// The caller is this CPU; 0 sets up and takes down.
  void be_cpu(unsigned cpu) { cpus_->enter(cpu); }
  /// Callbacks of RCU run, after a grace period.
  void grace() { cpus_->grace(); }
  /// Findings since the last call, in a line; empty if there are none.
  std::string findings() { return session_->findings(); }
  bool dead() const { return session_->host().tainted(); }
  /// User space closes the VM's files. What the kernel has left behind, in a line.
  std::string close_all();
  /// What the kernel calls code at this address: "kvm_mmu_load+0x1c".
  std::string symbol_of(std::uint64_t code) const { return session_->image().symbol_of(code); }
  /// Nobody listens any more.
  void halt();
  /// As at freeze(), to go on as an engine that nobody schedules.
  Result<void> thaw();
  /// Several CPUs run until end_block(), and the kernel tells `listener` what it does.
  /// Before and after, CPU 0 runs alone.
  Result<void> begin_block(lockstep::schedule::Listener& listener);
  void end_block();
  /// What the inside of the VM breaks after end_block(), or before the VM goes; every vCPU is
  /// as the CPU left it where it ran. Empty if nothing.
  std::string judge_block();
  /// The block did not come to its end, for this reason: the kernel is dead until the next
  /// begin().
  void abandon_block(std::string why);
  /// Bytes that rerun() copies.
  std::uint64_t frozen_bytes() const { return snapshot_->bytes(); }

  /// What became of the plan since the last begin().
  const FaultPlan& faults() const { return session_->host().faults(); }

 private:
  HostedEngine(std::filesystem::path image, std::string name, Coverage* coverage);

  // engine.cpp: the life of a program, and what user space does.
  Result<void> grow(std::uint64_t memory);
  Result<void> prepare(const Configuration& configuration);
  hosted_parameters parameters_for(const Configuration& configuration) const;
  void build_harness(PagingMode mode);
  /// What lives in the image, apart from page tables of the host's small pages: they come
  /// and go with what was told, and are no leak.
  std::optional<hosted_counters> counters();
  std::string leaks();
  std::string leaks_between(const hosted_counters& before, const hosted_counters& now) const;
  Observation with_findings(Observation seen);
  /// Unexpected, by the kernel's fault and nobody else's.
  Observation complain(std::string what);
  Observation failed(std::optional<long> result);
  /// Leaves of the program's VM, by size; none where no huge one is ever split eagerly.
  using Leaves = std::array<hosted_u64, 3>;
  Leaves leaves();
  void count_splits(const Leaves& before);
  Result<Observation> set_slot(const Command& command);
  Result<Observation> on(const SlotAdd& command) { return set_slot(command); }
  Result<Observation> on(const SlotDelete& command) { return set_slot(command); }
  Result<Observation> on(const SlotMove& command) { return set_slot(command); }
  Result<Observation> on(const SlotFlags& command) { return set_slot(command); }
  Result<Observation> on(const Poke& command);
  Result<Observation> on(const Peek& command);
  Result<Observation> on(const DirtyGet& command);
  Result<Observation> on(const DirtyClear& command);
  Result<Observation> on(const Map&) { return not_lowered(); }
  Result<Observation> on(const AliasTable&) { return not_lowered(); }
  static Result<Observation> not_lowered();

  /// engine_schedule.cpp: what a CPU has of its own where a VM is, and no vCPU; that VM.
  Result<KernelFile> keep_cpu();
  Result<void> start_vcpus();
  /// CPUs that a block has left.
  void leave_cpus();

  // engine_guest.cpp: what a vCPU does.
  Result<Observation> on(const EntrySet& command);
  Result<Observation> on(const Access& command);
  Result<Observation> on(const LoadCr3& command);
  Result<Observation> on(const Invlpg& command);
  Result<Observation> on(const Invpcid& command);
  Result<Observation> on(const SetControl& command);
  Result<Observation> on(const SetPkru& command);
  Result<Observation> on(const Translate& command);
  /// The vCPU is started and can enter the harness; otherwise what to show.
  std::optional<Result<Observation>> ready(unsigned vcpu);
  void plant_roots();
  Operation operation(Stub stub, Operation::Kind kind, Cpl cpl) const;
  Observation write_pkru(unsigned vcpu, std::uint32_t value);
  /// One operation to its end.
  Observation run(unsigned vcpu, const Operation& operation);
  Observation finished(const Operation& operation, const Outcome& outcome,
                       const std::optional<Mmio>& mmio);
  bool service_mmio(kvm_run& run, std::optional<Mmio>& mmio);

  // engine_host.cpp: what the host does.
  Result<Observation> on(const RingCollect& command);
  Result<Observation> on(const MmuPages& command);
  Result<Observation> on(const HostChange& command);
  /// The host asks whether pages are young, and makes them old.
  Result<Observation> age(std::uint64_t first, std::uint64_t pages);
  /// The host moves a page of the program that the kernel has just looked up.
  void move_while_used(std::uint64_t address);
  Result<Observation> on(const Shrink& command);
  Result<Observation> on(const NxRecover& command);

  // engine_view.cpp: the inside of the VM.
  void add_host_page(const spec::View& view, const spec::ViewPage& page,
                     spec::ViewEntry& leaf) const;
  bool checks_commands() const;
  std::string broken_invariants();
  /// Invariant 41, of the software processors' TLBs.
  std::vector<spec::Violation> overdue_translations(const spec::View& seen);
  std::string judge_invariants();

  // engine_platform.cpp
  Result<void> probe();
  void add(Feature feature, bool present, std::string reason);

  /// Instructions of the harness, by privilege level and stub.
  struct Instruction {
    std::uint64_t offset = 0;  ///< in the code page
    unsigned length = 0;
    std::array<std::uint8_t, 15> bytes{};
  };
  using Instructions = std::array<Instruction, stub_count>;
  static Instructions read_instructions(std::span<const std::byte> slot, PagingMode mode);

  std::filesystem::path image_file_;
  std::string name_;
  Coverage* coverage_;
  Platform platform_;
  std::vector<std::pair<Feature, std::string>> missing_;
  bool intel_works_ = false;
  bool scheduled_ = false;
  bool probing_ = false;  ///< open() tries what the image can do
  std::unique_ptr<Session> session_;
  std::vector<std::byte> idle_cpu_;
  std::unique_ptr<Cpus> cpus_;
  QuietListener quiet_;  ///< between blocks
  std::unique_ptr<Snapshot> snapshot_;
  std::optional<Traps::Entered> entered_;  ///< of all CPUs, while they run
  UserSlots frozen_slots_;
  std::unique_ptr<Machine> machine_;
  Configuration configuration_;
  HarnessLayout layout_;
  UserSlots slots_;
  std::vector<RootEntry> root_entries_;
  std::array<std::optional<Instructions>, 5> instructions_;  ///< by paging mode
  const Instructions* code_ = nullptr;
  bool roots_planted_ = false;
  bool met_mmio_ = false;  ///< this program, in any command
  Aliases aliases_;        ///< of this program
  DirtyPages full_rings_;  ///< taken because a ring was full
  FaultPlan faults_;
  InvariantChecks checks_ = invariant_checks_wanted();
  bool check_commands_ = false;       ///< of this program
  std::optional<spec::View> before_;  ///< the last that was taken of this program
  std::uint64_t programs_ = 0;        ///< ended
  std::uint64_t commands_ = 0;        ///< of this program
  std::optional<hosted_counters> baseline_;
  /// Of this program; the second of each two is told in another way.
  std::uint64_t host_changes_ = 0;
  std::uint64_t agings_ = 0;  ///< of all programs
  std::string abandoned_;     ///< the fatal finding of this program
  std::string complaint_;     ///< the first one of this program
  Reached counts_;
  Statistics statistics_;
  mutable std::map<std::string, std::uint64_t> reached_;
};

}  // namespace lockstep::hw::hosted
