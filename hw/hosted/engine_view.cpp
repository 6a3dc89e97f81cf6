// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#include "hw/hosted/engine.h"
#include "hw/hosted/known_findings.h"
#include "hw/hosted/view.h"
#include "spec/kvm/invariants.h"

namespace lockstep::hw::hosted {
namespace {

/// Of programs that are not too long, one in so many is checked at its end, and
/// one after each command: what a later command mends shows there alone.
constexpr std::uint64_t sampled = 16;
constexpr std::uint64_t sampled_commands = 256;

/// Requests that flush, and two that load or synchronise a root. Those two excuse more than
/// they must: kvm_mmu_load_pgd() flushes nothing, a synchronisation only what it drops.
constexpr std::array<std::string_view, 7> flushing = {
    "TLB_FLUSH",    "TLB_FLUSH_CURRENT", "TLB_FLUSH_GUEST",        "HV_TLB_FLUSH",
    "LOAD_MMU_PGD", "MMU_SYNC",          "MMU_FREE_OBSOLETE_ROOTS"};

bool flush_is_due(const spec::View& view, const spec::ViewVcpu& vcpu) {
  return std::ranges::any_of(view.requests, [&](const auto& request) {
    return (vcpu.requests >> request.first & 1u) != 0 &&
           std::ranges::find(flushing, request.second) != flushing.end();
  });
}

}  // namespace

InvariantChecks invariant_checks_wanted() {
  const char* const wish = std::getenv("LOCKSTEP_INVARIANTS");
  const std::string_view text = wish == nullptr ? "" : wish;
  if (text == "off") return InvariantChecks::off;
  if (text == "all") return InvariantChecks::every_program;
  if (text == "step") return InvariantChecks::every_command;
  return InvariantChecks::sampled;
}

Result<spec::View> HostedEngine::view() {
  if (!machine_) return tl::unexpected(EngineError{"view() without begin()"});
  if (session_->host().tainted()) {
    return tl::unexpected(EngineError{"the kernel is dead: " + abandoned_});
  }
  auto view = take_view(*session_, machine_->vm().number());
  if (!view) return view;
  view->nx_huge_pages = session_->parameters().nx_huge_pages != 0;
  for (auto& [table, page] : view->pages) {
    for (spec::ViewEntry& entry : page.entries) {
      if (entry.kind == spec::ViewEntry::Kind::leaf) add_host_page(*view, page, entry);
    }
  }
  return view;
}

std::optional<std::uint64_t> HostedEngine::mmu_bytes() {
  const auto counters = session_->quiet_counters();
  if (!counters) return std::nullopt;
  return session_->host().heap_bytes() + counters->pages * page_size;
}

void HostedEngine::add_host_page(const spec::View& view, const spec::ViewPage& page,
                                 spec::ViewEntry& leaf) const {
  const unsigned shift = 9 * (page.role.level - 1);
  const Gfn gfn = leaf.gfn >> shift << shift;
  const auto slot = std::ranges::find_if(view.slots, [&](const spec::ViewSlot& one) {
    return one.address_space == page.role.smm && gfn - one.gfn < one.pages;
  });
  if (slot == view.slots.end()) return;
  hosted_host_page host{};
  session_->arena().look_up(slot->address + (gfn - slot->gfn) * page_size, host);
  if (host.present == 0) return;
  leaf.host = {.frame = host.frame, .writable = host.writable != 0, .level = host.level};
}

std::vector<spec::Violation> HostedEngine::overdue_translations(const spec::View& seen) {
  std::vector<spec::Violation> found;
  for (const spec::ViewVcpu& vcpu : seen.vcpus) {
    const auto mmu = std::ranges::find_if(vcpu.mmus, &spec::ViewMmu::used);
    if (mmu == vcpu.mmus.end() || !mmu->active || vcpu.flushes || flush_is_due(seen, vcpu)) {
      continue;
    }
    counts_.hit(Path::tlb_looked_at);
    if (const auto stale = session_->processors().overdue(vcpu.id, gpa_to_gfn(mmu->active->root))) {
      found.push_back(
          {41, fmt::format("the TLB of vCPU {} maps {} {:#x} to frame {:#x}, no entry "
                           "does any more, and no flush is due",
                           vcpu.id, stale->linear ? "gva" : "gpa", stale->gpa, stale->frame)});
    }
  }
  return found;
}

std::string HostedEngine::broken_invariants() {
  counts_.hit(Path::invariants);
  const auto seen = view();
  if (!seen) {
    // What cannot even be followed is broken.
    if (session_->host().tainted()) abandoned_ = seen.error().message;
    return seen.error().message;
  }
  auto found = spec::violations(*seen);
  if (before_) {
    for (auto& violation : spec::step_violations(*before_, *seen)) {
      found.push_back(std::move(violation));
    }
  }
  for (auto& violation : overdue_translations(*seen)) found.push_back(std::move(violation));
  before_ = *seen;
  std::string text;
  const Circumstances met{.shadow = !platform_.tdp, .met_mmio = met_mmio_, .aliases = &aliases_};
  for (const spec::Violation& violation : found) {
    if (const auto name = known(violation, met); !name.empty()) {
      session_->count_known(name);
      continue;
    }
    text += (text.empty() ? "" : "; ") + spec::print(violation);
  }
  // Programs made smaller must show it too.
  if (!text.empty() && checks_ == InvariantChecks::sampled) {
    checks_ = check_commands_ ? InvariantChecks::every_command : InvariantChecks::every_program;
  }
  return text;
}

std::string HostedEngine::judge_block() {
  if (session_->host().tainted()) return {};
  // Several commands are no step that a rule about one command speaks of.
  before_.reset();
  // Nobody is asked who goes on where nobody else is.
  quiet_.begin();
  lockstep::schedule::Listener& told = cpus_->tell_to(quiet_);
  std::string broken = broken_invariants();
  cpus_->tell_to(told);
  return broken;
}

// The first program of an engine is always checked: it may be a replay.
bool HostedEngine::checks_commands() const {
  return checks_ == InvariantChecks::every_command ||
         (!probing_ && checks_ == InvariantChecks::sampled && programs_ % sampled_commands == 0);
}

std::string HostedEngine::judge_invariants() {
  // The engine's own trials are no programs: they would take the first's place.
  if (session_->host().tainted() || checks_ == InvariantChecks::off || probing_) return {};
  const bool turn = programs_++ % sampled == 0 && commands_ <= longest_checked;
  if (checks_ == InvariantChecks::sampled && !turn) return {};
  return broken_invariants();
}

}  // namespace lockstep::hw::hosted
