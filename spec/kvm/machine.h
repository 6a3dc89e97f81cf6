// SPDX-License-Identifier: GPL-2.0-or-later
/// The model: one machine's state, and which observations it admits.
///
/// The oracle is a relation. A machine judges ONE engine: it is told each
/// command and what that engine showed, says whether the manual and KVM's
/// documentation admit it, and narrows what it does not know accordingly.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spec/command.h"
#include "spec/engine.h"
#include "spec/observation.h"

namespace lockstep::spec {

/// The places where the model admits more than one answer. Each has a reason,
/// and campaigns count how often each was needed to admit an observation.
enum class Looseness : std::uint8_t {
  stale_translation,     ///< an access used a translation that memory no longer gives
  stale_prefix,          ///< ... or a paging-structure prefix that memory no longer gives
  spurious_fault,        ///< a cached translation with fewer rights faulted
  speculative_accessed,  ///< an accessed flag without a known access
  dirty_without_write,   ///< a page logged as dirty that no write explains
  pdpte_reread,          ///< PDPTEs read from memory at the walk (SVM with NPT)
  narrow_maxphyaddr,     ///< TDP: reserved bits below the host's width
  mmio_cache,            ///< the vCPU's MMIO address cache
  pse36_width,           ///< 4-MByte pages above 64 GiB: shadow paging stops at 36 bits
  host_poke,             ///< user space rewrote a live table
  fault_keeps_entry,     ///< a #PF that found nothing present left a shadow entry behind
  no_execute_kept,       ///< shadow paging: WRMSR EFER.NX leaves shadow pages as they are
  fetch_flag_32bit,      ///< shadow paging reports I/D under NXE without PAE
  wp_exchange,           ///< shadow paging with CR0.WP=0 made a user page a kernel page
  pvm_upper_half,        ///< kvm_pvm: the upper half is not the guest's at CPL 3
  emulated_host_write,   ///< an emulated write to a page that the host write-protects
  read_only_table,       ///< TDP: a table in a read-only slot faults for ever
  table_as_target,       ///< TDP: a table outside every slot is taken for what was accessed
  mmio_page_zero,        ///< shadow paging: MMIO at linear page 0 is walked as a write too
  mmio_clean_write,      ///< shadow paging with CR0.WP=0: an MMIO write without dirty flag
  mmio_refreshed,        ///< shadow paging: an MMIO entry outlived the slot's creation
  page_size_kept,        ///< shadow paging: MOV CR4.PSE leaves shadow pages as they are
  pcid_shared,           ///< shadow paging: a translation that another PCID cached
  alias_rmap,            ///< shadow paging: a host page with two gfns escapes the dirty log
  mmio_unprotects,       ///< shadow paging: what replaces an MMIO entry maps a table writable
  logged_late,           ///< a store through write access that another vCPU has yet to log
};
inline constexpr unsigned looseness_count = 26;

/// Short printable name, such as "stale-translation".
std::string_view name(Looseness looseness);
/// Why the model is loose there, with its source.
std::string_view reason(Looseness looseness);

struct Judgement {
  enum class Kind : std::uint8_t { admitted, refused, undecided };
  Kind kind = Kind::admitted;
  /// For refused: what the model admits, ready to print. For undecided: which
  /// bound was passed. Empty when admitted.
  std::string why;
  /// Of undecided: a bound of the model's own was passed, and what an engine complains of
  /// is a finding all the same. Else user space has broken its side of the interface, or
  /// KVM is known to fail, and it is none.
  bool bound_passed = false;
};

class Machine {
 public:
  /// `platform` is the judged engine's.
  Machine(const Configuration& configuration, const Platform& platform);
  ~Machine();
  Machine(Machine&&) noexcept;
  Machine& operator=(Machine&&) noexcept;

  /// Judge what the engine showed for a lowered command, and take the step.
  /// After a refusal the machine must not be used again.
  Judgement judge(const Command& command, const Observation& observation);

  /// Judge what a parallel block showed: whether some order of the atomic steps of its
  /// commands, in real time and with stores that wait in buffers (TSO), explains it.
  /// Which order it was stays open: a later observation that contradicts the one that
  /// was found makes judge() look for another.
  ///
  /// The steps: slot delete and move: invalid, then final; logging that begins: each
  /// page; dirty-get and dirty-clear: each page; access: walk, use; others: one.
  Judgement judge(std::span<const ParallelCommand> commands,
                  std::span<const ParallelAnswer> answers);

  /// Observations that judge() would admit for the command now; the first is
  /// what a machine that caches nothing and sets no extra bit would show.
  /// Complete for accesses (bounded at 64); for dirty bitmaps the least and
  /// the greatest. An Unexpected, which judge() calls undecided, where the model
  /// says nothing: a fetch of bytes that are no code cell, a root without slot.
  std::vector<Observation> admitted(const Command& command) const;

  /// Which of the admitted observations happens: an index into them.
  using Choice = std::function<std::size_t(std::span<const Observation>)>;
  struct Taken {
    Observation observation;
    Judgement judgement;
  };
  /// admitted(), the choice and judge() in one step, for an engine that is the
  /// model itself.
  Taken take(const Command& command, const Choice& choose);
  /// The first of admitted(), as a machine that makes no use of the freedoms of this
  /// access: what those could have left behind did not happen to it.
  Taken take_plain(const Command& command);

  /// A page-walk dump, level by level, for commands that name a linear
  /// address; a line on the slot otherwise.
  std::string explain(const Command& command) const;

  /// How often each looseness was needed, indexed by Looseness.
  const std::array<std::uint64_t, looseness_count>& looseness_used() const;

  /// Defined in spec/kvm/state.h, for the files that state the rules.
  struct State;

  /// What was judged since the first parallel block; defined in machine_parallel.cpp.
  struct Orders;

 private:
  /// After what was found stands in doubt: another order that explains all.
  Judgement look_again(Judgement refusal);

  std::unique_ptr<State> state_;
  std::unique_ptr<Orders> orders_;  ///< none before the first block
};

}  // namespace lockstep::spec
