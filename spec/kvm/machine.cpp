// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/kvm/machine.h"

#include <algorithm>
#include <cerrno>

#include "spec/kvm/state.h"
#include "spec/program.h"

namespace lockstep::spec {
namespace {

/// kvm_mmu_max_gfn(): shadow paging maps 52-bit addresses whatever the host
/// has, TDP only what hardware reaches.
Gfn max_gfn(const Platform& platform) {
  const unsigned width = platform.tdp ? platform.host_maxphyaddr : 52;
  return (1ull << (width - page_shift)) - 1;
}

}  // namespace

std::string_view name(Looseness looseness) {
  static constexpr std::array<std::string_view, looseness_count> names = {
      "stale-translation",   "stale-prefix",    "spurious-fault",    "speculative-accessed",
      "dirty-without-write", "pdpte-reread",    "narrow-maxphyaddr", "mmio-cache",
      "pse36-width",         "host-poke",       "fault-keeps-entry", "no-execute-kept",
      "fetch-flag-32bit",    "wp-exchange",     "pvm-upper-half",    "emulated-host-write",
      "read-only-table",     "table-as-target", "mmio-page-zero",    "mmio-clean-write",
      "mmio-refreshed",      "page-size-kept",  "pcid-shared",       "alias-rmap",
      "mmio-unprotects",     "logged-late"};
  return names[static_cast<std::size_t>(looseness)];
}

std::string_view reason(Looseness looseness) {
  static constexpr std::array<std::string_view, looseness_count> reasons = {
      "SDM \"Caching Translation Information\": a TLB entry may be used until it is invalidated",
      "SDM \"Paging-Structure Caches\": an upper entry may be used until it is invalidated",
      "SDM \"Optional Invalidation\": a cached entry with fewer rights may fault once",
      "SDM \"Accessed and Dirty Flags\": a speculative walk may set accessed flags",
      "make_spte(): a page is logged when it is mapped writable, written or not",
      "AMD64 APM \"Nested Paging\": PDPTEs are read from memory at the walk",
      "allow_smaller_maxphyaddr: under TDP hardware checks the host's reserved bits",
      "vcpu_mmio_gva_to_gpa(): the vCPU keeps the address of its last MMIO access",
      "__reset_rsvds_bits_mask(): PSE-36 pages of a shadowed guest reach 36 bits, the SDM says "
      "up to 40",
      "a table rewritten through the hva is not seen until KVM zaps its shadow pages",
      "kvm_inject_emulated_page_fault() drops the faulting address only if P=1 and RSVD=0; the SDM "
      "drops it at every page fault",
      "kvm_init_shadow_mmu() sets root_role.efer_nx always: what was shadowed under the other "
      "EFER.NX stays, flushed or not",
      "walk_addr_generic() reports I/D for a fetch whenever EFER.NXE is set; the SDM wants "
      "CR4.PAE too",
      "FNAME(page_fault): to let a supervisor write a read-only user page under CR0.WP=0, the SPTE "
      "gains W and loses U, so SMAP no longer sees a user page",
      "kvm_pvm: at CPL 3 the upper half of the address space is mapped by the host, so accesses "
      "there fault with the host's error code",
      "emulator_read_write_onepage(): what it cannot store becomes an MMIO write, so a write to a "
      "page that the host write-protects does not fail KVM_RUN if KVM emulates it",
      "kvm_mmu_page_fault(): a nested fault of the guest's page walk on a page that is present and "
      "not writable is retried as if the page had only been write-tracked",
      "x86_emulate_instruction(): the address of a nested page fault is taken for that of the "
      "access, if both have the same offset in a page; a fault of the guest's walk names an entry",
      "retry_instruction() of 6.1 translates what it retries as a write, which sets the dirty "
      "flag; vcpu_match_mmio_gva() never knows the page at linear address 0, so its reads are "
      "retried",
      "handle_mmio_page_fault(): an MMIO entry keeps the rights of the access that made it; a "
      "supervisor's write with CR0.WP=0 passes them without a walk, and the dirty flag stays "
      "clear",
      "sync_mmio_spte() gives an MMIO entry of an unsync table the present memslot generation: a "
      "slot that was created meanwhile stays unseen there",
      "kvm_calc_cpu_role() keeps CR4.PSE in the extended role, which shadow pages do not have: "
      "what "
      "was shadowed under the other CR4.PSE stays, flushed or not",
      "kvm_mmu_new_pgd(): shadow pages know no PCID, and MOV to CR3 with bit 63 synchronizes "
      "nothing: a table that changed under one PCID stays as it was under the other",
      "mmu_set_spte(): a present SPTE of the same host page passes for one of the same gfn, so a "
      "PTE rewritten from one gfn of the page to another stays in the rmap of the first, and "
      "write protection of the second misses it",
      "make_spte(): an MMIO entry whose access was writable passes for a writable SPTE, so what "
      "replaces it skips write protection: stores through it to a guest table go unseen",
      "fast_pf_fix_direct_spte(): write access comes back before the page is logged, so a store "
      "of another vCPU in between shows only when that fault is over"};
  return reasons[static_cast<std::size_t>(looseness)];
}

Machine::State::State(const Configuration& c, const Platform& p)
    : configuration(c), platform(p), slots(max_gfn(p)), vcpus(c.vcpus) {}

Judgement Machine::State::only(const Observation& wanted, const Observation& shown) {
  return wanted == shown ? admit() : refuse(print(wanted));
}

void Machine::State::use(Loosenesses loosenesses) {
  for (unsigned i = 0; i < looseness_count; ++i) {
    if ((loosenesses >> i) & 1u) ++used[i];
  }
}

std::optional<Judgement> Machine::State::begin(const Command& command) {
  ++now;
  logged.clear();
  if (const std::optional<unsigned> vcpu = vcpu_of(command)) {
    if (*vcpu >= vcpus.size()) return undecided("the vCPU does not exist");
    if (!start(*vcpu, command)) {
      return undecided("the root table has no memory slot, or no sound PDPTEs");
    }
    if (may_lose_root(command)) vcpus[*vcpu].dummy_root = true;
    // A vCPU was up, and may have walked, before its first command.
    ++now;
  }
  return std::nullopt;
}

Judgement Machine::State::conclude(const Command& command, const Observation& observation) {
  if (std::holds_alternative<Unexpected>(observation) && may_lose_root(command)) {
    return undecided("a PDPTE leads outside every memory slot");
  }
  return std::visit(
      [&](const auto& c) -> Judgement {
        using C = std::decay_t<decltype(c)>;
        if constexpr (std::is_same_v<C, SlotAdd>) {
          return judge(UserSlots::Region{c.id, c.gpa, c.size, c.hva, c.log, c.read_only},
                       observation);
        } else if constexpr (std::is_same_v<C, SlotDelete> || std::is_same_v<C, SlotMove> ||
                             std::is_same_v<C, SlotFlags>) {
          return judge(request(c), observation);
        } else if constexpr (std::is_same_v<C, Map> || std::is_same_v<C, AliasTable>) {
          return undecided("the program was not lowered");
        } else {
          return judge(c, observation);
        }
      },
      command);
}

std::vector<Observation> Machine::admitted(const Command& command) const {
  // A copy takes the step, so that a first command brings its vCPU up.
  State state = *state_;
  if (auto end = state.begin(command)) return {Unexpected{std::move(end->why)}};
  std::vector<Observation> admitted = state.admitted(command);
  if (admitted.empty()) admitted.emplace_back(Unexpected{"the model does not say"});
  return admitted;
}

Machine::Taken Machine::State::draw(const Access& access, const Candidates& all,
                                    const Choice& choose) {
  std::vector<Observation> admitted;
  if (all) admitted = observations(*all);
  if (admitted.empty()) admitted.emplace_back(Unexpected{"the model does not say"});
  Observation chosen = std::move(admitted[choose(admitted)]);
  Judgement judgement = judge(access, chosen, all);
  return {std::move(chosen), std::move(judgement)};
}

Machine::Taken Machine::take(const Command& command, const Choice& choose) {
  if (auto end = state_->begin(command)) {
    Unexpected unexpected{end->why};
    return {std::move(unexpected), std::move(*end)};
  }
  if (const auto* access = std::get_if<Access>(&command)) {
    return state_->draw(*access, state_->candidates(*access), choose);
  }
  std::vector<Observation> admitted = state_->admitted(command);
  if (admitted.empty()) admitted.emplace_back(Unexpected{"the model does not say"});
  Observation chosen = std::move(admitted[choose(admitted)]);
  Judgement judgement = state_->conclude(command, chosen);
  return {std::move(chosen), std::move(judgement)};
}

Machine::Taken Machine::take_plain(const Command& command) {
  const Choice first = [](std::span<const Observation>) { return std::size_t{0}; };
  const auto* access = std::get_if<Access>(&command);
  if (access == nullptr) return take(command, first);
  if (auto end = state_->begin(command)) {
    Unexpected unexpected{end->why};
    return {std::move(unexpected), std::move(*end)};
  }
  Candidates all = state_->plain_candidates(*access);
  if (all->empty() || all->front().unknown) all = state_->candidates(*access);
  return state_->draw(*access, all, first);
}

const std::array<std::uint64_t, looseness_count>& Machine::looseness_used() const {
  return state_->used;
}

}  // namespace lockstep::spec
