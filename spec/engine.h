// SPDX-License-Identifier: GPL-2.0-or-later
/// The contract between a program's driver and whatever executes it.
#pragma once

#include <bitset>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "spec/command.h"
#include "spec/observation.h"

namespace lockstep {

/// What a program may need and an engine may lack.
enum class Feature : std::uint8_t {
  paging_none,
  paging_bits32,
  paging_pae,
  paging_level4,
  paging_level5,
  mmu_shadow,
  mmu_tdp,
  nx,
  smep,
  smap,
  pge,
  pse,
  pke,
  pcid,
  invpcid,
  gigabyte_pages,
  read_only_slots,
  dirty_log_manual,
  dirty_log_all_set,
  translate,
  smm,
  host_parameters,  ///< Configuration::host is honoured; never a need
  mmu_pages,
  host_migrate,
  host_protect,
  host_age,
  host_split,
  host_collapse,
  host_discard,
  shrinker,
  nx_recovery,
  dirty_ring,
  slot_zap_quirk,
  parallel_blocks
};
inline constexpr unsigned feature_count = 34;

using Features = std::bitset<feature_count>;

/// The feature behind an action of the host.
constexpr Feature feature_of(HostAction action) {
  switch (action) {
    case HostAction::migrate:
      return Feature::host_migrate;
    case HostAction::protect:
    case HostAction::unprotect:
      return Feature::host_protect;
    case HostAction::age:
      return Feature::host_age;
    case HostAction::split:
      return Feature::host_split;
    case HostAction::collapse:
      return Feature::host_collapse;
    case HostAction::discard:
      break;
  }
  return Feature::host_discard;
}

/// Printable name of a feature, such as "smm" or "5-level paging".
std::string_view name(Feature feature);

/// Facts about the platform under an engine that change what the model admits.
/// An engine reports what it probed; it never guesses.
struct Platform {
  Features features;
  unsigned max_vcpus = 1;
  /// Widest guest MAXPHYADDR that the engine can give, in bits.
  unsigned max_maxphyaddr = 52;
  /// Width of host physical addresses, in bits: under TDP, guest reserved bits
  /// below it are not seen by hardware.
  unsigned host_maxphyaddr = 52;
  /// The engine translates with two-dimensional paging (chosen by `any`).
  bool tdp = false;
  /// The guest's CPUID says AMD or Hygon: a few reserved bits differ.
  bool amd = false;
  /// Under TDP, guests of at most 48 bits get EPT of four levels, whatever the host's
  /// width (kvm_mmu_get_tdp_level()).
  bool four_level_ept = false;
  /// Names of known platform deviations that apply ("kvm_pvm", "tcg-rsvd").
  std::vector<std::string> deviations;
  /// Provenance, in print order: kernel release, module parameters, CPU ...
  std::vector<std::pair<std::string, std::string>> provenance;
};

/// Why an engine could not answer. Never a finding: the verdict is `no verdict`.
struct EngineError {
  std::string message;
};

template <typename T>
using Result = tl::expected<T, EngineError>;

/// One command of a parallel block.
struct ParallelCommand {
  unsigned thread = 0;
  Command command;
  std::uint64_t schedule = 0;  ///< of the block, see Step: set in its first command
};

/// What it showed, and when it ran, by one clock of the engine: a command that
/// ended before another began was over by then.
struct ParallelAnswer {
  Observation observation;
  std::uint64_t began = 0;
  std::uint64_t ended = 0;
};

/// One executor of programs. Not thread-safe; one program at a time.
class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  virtual ~Engine() = default;

  /// Name as on the command line: "impl", "kvm".
  virtual std::string_view name() const = 0;

  virtual const Platform& platform() const = 0;

  /// Begin a program. May reuse what an earlier program left, unless `fresh`
  /// asks for a new VM. Every slot is gone, memory holds code_cell(hfn) again,
  /// each vCPU is as Configuration says and enters on its first command.
  virtual Result<void> begin(const Configuration& configuration, bool fresh) = 0;

  /// Execute one lowered command (never Map or AliasTable).
  virtual Result<Observation> execute(const Command& command) = 0;

  /// Execute the commands of one parallel block, those of each thread in their
  /// order, the threads at once; answers in the order of the commands. Engines
  /// without Feature::parallel_blocks are never asked.
  virtual Result<std::vector<ParallelAnswer>> execute_parallel(
      std::span<const ParallelCommand> commands);

  /// End the program; an Unexpected is a teardown finding (a leak, a counter
  /// that is not back to zero, a warning), Done is success.
  virtual Result<Observation> end() = 0;

  /// Which paths were taken since construction, by name. Statistics and
  /// coverage only: a counter moves because the path ran, not because it was
  /// asked for. Names are stable: "access pf_fixed", "mmio read", ...
  virtual const std::map<std::string, std::uint64_t>& reached() const = 0;
};

/// What user space knows of the slots it has set: the arguments that SlotMove
/// and SlotFlags leave out, and which hva backs a gpa.
class UserSlots {
 public:
  struct Region {
    unsigned id = 0;
    Gpa gpa = 0;
    std::uint64_t size = 0;
    Hva hva = 0;
    bool log = false;
    bool read_only = false;
    bool operator==(const Region&) const = default;
  };

  /// The KVM_SET_USER_MEMORY_REGION argument of a slot command; none for any
  /// other command.
  std::optional<Region> region(const Command& command) const;
  /// Record a region that the engine accepted (size 0 deletes).
  void accept(const Region& region);
  /// Hva that backs the gpa, if a slot does.
  std::optional<Hva> hva(Gpa gpa) const;
  /// The region with this id, if any.
  const Region* find(unsigned id) const;
  void clear() { regions_.clear(); }

 private:
  std::map<unsigned, Region> regions_;
};

}  // namespace lockstep
