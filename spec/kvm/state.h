// SPDX-License-Identifier: GPL-2.0-or-later
/// The state of the modelled machine, for the files that state its rules.
/// Private to spec/kvm.
#pragma once

#include <boost/container/flat_set.hpp>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <unordered_set>
#include <vector>

#include "spec/kvm/dirty_log.h"
#include "spec/kvm/machine.h"
#include "spec/kvm/memory.h"
#include "spec/kvm/memslots.h"
#include "spec/x86/translations.h"

namespace lockstep::spec {

/// A set of Looseness.
using Loosenesses = std::uint32_t;
constexpr Loosenesses loose(Looseness looseness) { return 1u << static_cast<unsigned>(looseness); }

/// One vCPU; registers exist from its first command on.
struct Vcpu {
  std::optional<Processor> processor;
  std::uint32_t pkru = 0;
  unsigned cr3_low = 0;     ///< CR3[11:0], a PCID or not
  bool dummy_root = false;  ///< or none: a PDPTE of it led outside every slot once
  bool lost_root = false;   ///< and loads one at its next entry: none yet, or KVM zapped it
  /// What vcpu->arch.mmio_gva and mmio_gfn may hold: where an access without
  /// memory slot went. KVM keeps one; which accesses fill it is its own affair.
  struct MmioCache {
    Gva page = 0;
    Gpa gpa = 0;
    Combined rights;  ///< vcpu->arch.mmio_access
    bool operator==(const MmioCache&) const = default;
  };
  std::vector<MmioCache> mmio;
};

/// Page tables as walks see them: slots over memory, over time.
class TablesOfGuest : public EntryHistory {
 public:
  TablesOfGuest(const Memslots& slots, const Memory& memory, const std::set<Hfn>& poked)
      : slots_(slots), memory_(memory), poked_(poked) {}
  void versions(Gpa gpa, unsigned size, Moment since,
                std::vector<EntryVersion>& out) const override;

 private:
  const Memslots& slots_;
  const Memory& memory_;
  const std::set<Hfn>& poked_;
};

struct Candidate;
/// Every admitted outcome of an access, the fresh walk's first; none if there
/// are too many.
using Candidates = std::optional<std::vector<Candidate>>;

/// One observation that the model admits for an access, and what follows if it
/// is what happened.
struct Candidate {
  Observation observation;
  std::uint64_t maybe = 0;  ///< bits of a Value that may be set besides
  Loosenesses loosenesses = 0;
  Way way;
  bool completed = false;     ///< the translation permitted the access
  bool host_refused = false;  ///< ... and the host's write protection did not
  std::optional<Hva> hva;     ///< where data was read or written
  bool dirty_doubt = false;   ///< the leaf's dirty flag may be set, or not
  bool unknown = false;       ///< what was fetched or walked is not the program's
  bool undefined = false;     ///< if it is this way, nothing can be said from here on
};

/// What those candidates show, each once, at most 64; none that is not known.
std::vector<Observation> observations(const std::vector<Candidate>& candidates);

struct Machine::State {
  State(const Configuration& c, const Platform& p);

  Judgement admit() { return {}; }
  Judgement refuse(std::string why) { return {Judgement::Kind::refused, std::move(why)}; }
  Judgement undecided(std::string why) { return {Judgement::Kind::undecided, std::move(why)}; }
  /// Undecided, by a bound of the model's own.
  Judgement out_of_bounds(std::string why) {
    return {Judgement::Kind::undecided, std::move(why), /*bound_passed=*/true};
  }
  /// Admit exactly this observation.
  Judgement only(const Observation& wanted, const Observation& shown);
  void use(Loosenesses loosenesses);

  /// The moment of a command comes; its vCPU is brought up if it is the first. A
  /// judgement only if the model says nothing about what follows.
  std::optional<Judgement> begin(const Command& command);
  /// After begin(): judge what was shown, and take the step.
  Judgement conclude(const Command& command, const Observation& observation);

  // The rules, a file a subject.
  Judgement judge(const UserSlots::Region& request, const Observation& shown);
  Judgement judge(const Poke& poke, const Observation& shown);
  Judgement judge(const Peek& peek, const Observation& shown);
  Judgement judge(const EntrySet& set, const Observation& shown);
  Judgement judge(const Access& access, const Observation& shown) {
    return judge(access, shown, candidates(access));
  }
  Judgement judge(const Access& access, const Observation& shown, const Candidates& all);
  Judgement judge(const LoadCr3& load, const Observation& shown);
  Judgement judge(const Invlpg& invlpg, const Observation& shown);
  Judgement judge(const Invpcid& invpcid, const Observation& shown);
  Judgement judge(const SetControl& set, const Observation& shown);
  Judgement judge(const SetPkru& set, const Observation& shown);
  Judgement judge(const Translate& translate, const Observation& shown);
  Judgement judge(const DirtyGet& get, const Observation& shown);
  /// The same for some of the slot's pages, a bit each, of a bitmap of its size.
  Judgement judge_pages(const DirtyGet& get, const DirtyBitmap& bitmap,
                        const std::vector<std::uint64_t>& pages);
  Judgement judge(const DirtyClear& clear, const Observation& shown);
  Judgement judge(const RingCollect& collect, const Observation& shown);
  Judgement judge(const MmuPages& limit, const Observation& shown);
  Judgement judge(const HostChange& change, const Observation& shown);
  Judgement judge(const Shrink& shrink, const Observation& shown);
  Judgement judge(const NxRecover& recover, const Observation& shown);

  /// The request that a delete, move or flags command makes: what it leaves out
  /// is as the slot is now.
  UserSlots::Region request(const Command& command) const;
  std::vector<Observation> admitted(const Command& command) const;

  /// What each of those commands should show, without the observation.
  Observation expected(const UserSlots::Region& request) const;
  Observation expected(const Poke& poke) const;
  Observation expected(const EntrySet& set) const;
  Observation expected(const LoadCr3& load) const;
  Observation expected(const Invpcid& invpcid) const;
  Observation expected(const SetControl& set) const;
  Observation expected(const SetPkru& set) const;
  Observation expected(const DirtyClear& clear) const;
  Observation expected(const MmuPages& limit) const;
  Observation expected(const HostChange&) const { return Done{}; }
  Observation expected(const Shrink&) const { return Done{}; }
  Observation expected(const NxRecover&) const { return Done{}; }
  /// What the rings hold at least, and at most but for prefetching.
  DirtyPages ring_contents(bool most) const;
  Memory::Possibles expected_peek(const Peek& peek) const;

  Candidates candidates(const Access& access) const;
  /// Those of a walk that reads every entry now; never none.
  Candidates plain_candidates(const Access& access) const;
  /// One of these outcomes happens.
  Taken draw(const Access& access, const Candidates& all, const Choice& choose);
  /// Observations that KVM_TRANSLATE may return, the plain walk's first.
  std::vector<Observation> translations_of(const Translate& translate) const;

  /// Bring the vCPU up if this is its first command. False if its root table
  /// has no memory slot: what then happens is not modelled.
  bool start(unsigned vcpu, const Command& command);
  const Processor& processor_of(unsigned vcpu) const;
  Registers first_registers() const;
  PagingState paging(unsigned vcpu) const;
  /// PDPTEs as MOV CR3 would load them; none if the load faults.
  std::optional<std::array<std::uint64_t, 4>> load_pdptes(Gpa root) const;
  /// Under SVM with NPT: the processor as it would be, had it read the PDPTE of
  /// `gva` at some moment since the root was loaded. Looseness::pdpte_reread.
  std::vector<Processor> with_pdpte_reread(const Processor& processor, Gva gva) const;
  /// Whether ambiguous writes left more than one value possible for a PDPTE.
  bool pdptes_unknown(Gpa root) const;

  /// Linux 6.1 ends the vCPU: mmu_check_root() with a PDPTE outside every slot.
  bool may_lose_root(const Command& command) const;

  /// The engine's KVM is kvm_pvm, with its known deviations.
  bool on_pvm() const;

  /// Effects of a translation on accessed and dirty flags; only possible ones
  /// if it is not `certain` that it completed.
  void apply_flags(std::span<const Candidate* const> consistent, bool write, bool certain);
  /// Flags that walks of these ways may have set, whatever was shown.
  void apply_possible_flags(std::span<const Candidate* const> walks, bool write);
  void log_write(Gpa gpa, bool certain);
  void log_map(Gpa gpa);
  /// The command, which another thread has begun and not ended, may have walked, set
  /// flags and mapped what it is about: these pages, which it logs before it ends.
  std::vector<Gpa> may_have_walked(const Command& command);
  /// The command may have met MMIO where slots change beside it, and ended otherwise.
  void may_have_met_mmio(const Command& command, const Command& change);
  /// KVM has an entry for MMIO where the way ends.
  void note_mmio_leaf(const Way& way);
  /// Flags that the way has set in the bytes [hva, hva + size) before the access
  /// that it translates: a table may map itself.
  std::uint64_t flags_set_at(const Way& way, Hva hva, unsigned size) const;
  /// Where the accessed flags of a load stand, if it is from a page table.
  std::uint64_t accessed_flags(Hva hva, unsigned size) const;
  /// Those that are clear in `value` and that a page walk may have set.
  std::uint64_t speculative_flags(Hva hva, unsigned size, std::uint64_t value) const;
  void remember_table(Gpa table, TableLevel level);
  /// The guest stored to this page: does KVM see it if it is a table?
  void note_store(Gpa gpa, Hva hva);
  /// An event at which KVM may synchronize unsync tables.
  void tables_synchronized();
  /// Whether some entry that was true at `since` or later lets KVM map the page
  /// writable without an access: sync_page() and prefetching.
  bool mapped_writable_by_some_table(Gpa gpa, Moment since) const;
  /// Whether bytes at the hva are root entries that belong to the engine.
  bool engines_own(Hva hva, unsigned size) const;

  /// Whether the host maps the page at the hva read-only.
  bool host_protects(Hva hva) const {
    const Hfn page = hva >> page_shift;
    return page < host_protected.size() && host_protected[page];
  }
  /// Whether something explains that the page of the slot is logged as dirty.
  bool explains(const DirtyLog& log, const Slot& slot, std::uint64_t page) const;
  /// Whether shadow paging may hold the page of the slot under another gfn:
  /// Looseness::alias_rmap.
  bool has_another_gfn(const Slot& slot, std::uint64_t page) const;
  /// Where a gpa that has no slot any more may still lead: the deletion of its slot alone
  /// misses SPTEs that stand in the rmap of another gfn. Looseness::alias_rmap.
  std::optional<Hva> kept_by_alias(Gpa gpa) const;
  /// The slot goes, or its logging: what the rings hold of it stays.
  void retire(unsigned id, const Slot& slot);

  TablesOfGuest tables() const { return {slots, memory, poked}; }

  Configuration configuration;
  Platform platform;
  Moment now = 1;
  Memslots slots;
  Memory memory;
  std::map<unsigned, DirtyLog> logs;  ///< by slot, where logging is on
  /// Pages of logged slots that the command wrote or may have mapped.
  std::vector<std::pair<unsigned, std::uint64_t>> logged;
  /// Dirty rings outlive the logging of the slots that they name.
  struct RetiredLog {
    unsigned id = 0;
    Slot slot;
    DirtyLog log;
  };
  std::vector<RetiredLog> retired;
  std::vector<bool> host_protected;  ///< by hfn; absent is false
  std::vector<Vcpu> vcpus;
  struct TablePage {
    boost::container::flat_set<TableLevel> levels;
    boost::container::flat_set<Gfn> gfns;  ///< through which walks met it
  };
  std::map<Hfn, TablePage> table_pages;  ///< host pages that ever held a page table
  /// What remember_table() was told last, by page: it is told the same again and again.
  struct Remembered {
    Hfn page = ~0ull;
    Gfn gfn = 0;
    TableLevel level = TableLevel::pt;
    bool operator==(const Remembered&) const = default;
  };
  std::array<Remembered, 16> remembered;
  std::set<Gpa> exchanged;  ///< leaf entries that a write used under CR0.WP=0
  /// An MMIO entry in a shadow page table, as far as it may exist.
  struct MmioLeaf {
    bool unsync = false;        ///< the guest stored to its table since
    bool refreshed = false;     ///< ... and KVM synchronized it since slots changed last
    bool synchronized = false;  ///< KVM synchronized tables since slots changed last
  };
  std::unordered_set<Gfn> stored_tables;   ///< to which the guest stored; of no use under TDP
  std::unordered_set<Gpa> stored_entries;  ///< of live tables, likewise
  std::map<Gpa, MmioLeaf> mmio_leaves;     ///< by the guest's leaf entry
  std::set<Hfn> poked;                     ///< of those, rewritten by user space while live
  std::set<Hfn> unprotected;               ///< of those, mapped writable: mmio_unprotects
  std::array<std::uint64_t, looseness_count> used{};
  /// The slot whose logging begins beside what happens now: its pages are
  /// write-protected one after the other.
  std::optional<unsigned> beginning_to_log;
  /// Writes are logged when a fault that has begun elsewhere ends: logged_late.
  bool logs_late = false;
  bool page_size_changed = false;   ///< CR4.PSE was set and clear
  bool no_execute_was_off = false;  ///< EFER.NX was clear at some time
};

}  // namespace lockstep::spec
