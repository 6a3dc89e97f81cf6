// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/looseness_evidence.h"

#include <algorithm>

#include "props/draw.h"

namespace lockstep::jobs {
namespace {

using enum spec::Looseness;

constexpr std::array<LoosenessEvidence, spec::looseness_count> evidence = {{
    {stale_translation, "architecture/stale-translation-until-invlpg.lockstep",
     "invlpg-does-not-sync"},
    {stale_prefix, "architecture/stale-upper-entry-until-invlpg.lockstep",
     "emulated-write-not-zapped"},
    {spurious_fault, "bugs/mmio-cached-then-write-protected.lockstep", "permissions-kept"},
    {speculative_accessed, "regressions/flag-seen-clear-then-set.lockstep",
     "guest-flags-not-logged"},
    {dirty_without_write, "architecture/dirty-log-of-a-page-table.lockstep", "ring-loses-entries"},
    {pdpte_reread, "regressions/reserved-pdpte-under-npt.lockstep", "root-of-other-role"},
    {narrow_maxphyaddr, "regressions/emulated-where-kvms-own-walk-leads.lockstep", "mmio-gfn-cut"},
    {mmio_cache, "regressions/mmio-address-outlives-invpcid.lockstep", "mmio-cache-kept"},
    {pse36_width, "regressions/pse36-fetch-outside-memory.lockstep", "quadrant-lost"},
    {host_poke, "bugs/81ccda30b4e8-unexpected-role.lockstep", "second-half-not-zapped"},
    {fault_keeps_entry, "regressions/fault-under-another-root.lockstep", "sync-keeps-old-gfn"},
    {no_execute_kept, "architecture/no-execute-toggled.lockstep", "role-forgets-smep"},
    {fetch_flag_32bit, "regressions/pse36-fetch-outside-memory.lockstep", "wp0-leaves-exec"},
    {wp_exchange, "regressions/exchange-before-the-mmio-cache.lockstep", "wp0-leaves-user"},
    {pvm_upper_half, "architecture/upper-half-at-cpl3.lockstep", "role-forgets-access"},
    {emulated_host_write, "architecture/host-write-protects-a-pfnmap.lockstep",
     "host-protection-ignored"},
    {read_only_table, "regressions/read-only-table-over-a-protected-page.lockstep",
     "tdp-zap-without-flush"},
    {table_as_target, "architecture/table-outside-memory.lockstep", "mmio-generation-ignored"},
    {mmio_page_zero, "architecture/mmio-at-linear-page-zero.lockstep", "clean-entry-writable"},
    {mmio_clean_write, "regressions/mmio-cache-sets-no-dirty-flag.lockstep",
     "fault-keeps-mmio-address"},
    {mmio_refreshed, "bugs/sync-mmio-spte-new-generation.lockstep", "mmio-over-present"},
    {page_size_kept, "architecture/page-size-extension-off.lockstep", "role-forgets-wp"},
    {pcid_shared, "bugs/pcid-noflush-unsync-table.lockstep", "cr3-does-not-sync"},
    {alias_rmap, "bugs/alias-outlives-a-deleted-slot.lockstep", "move-keeps-mappings"},
    {mmio_unprotects, "bugs/mmio-entry-escapes-write-protection.lockstep",
     "table-not-write-protected"},
    {logged_late, "architecture/parallel-write-logged-by-another.lockstep",
     "fast-fault-not-logged"},
}};

std::array<Platform, 5> platforms() {
  Platform shadow;
  shadow.features.set();
  shadow.max_vcpus = 8;
  std::array<Platform, 5> all;
  all.fill(shadow);
  all[1].amd = true;
  all[2].tdp = all[3].tdp = true;
  all[3].amd = true;
  all[4].deviations = {"kvm_pvm"};
  return all;
}

/// Pages of the slot when it was added.
std::uint64_t pages_of_slot(const Lowered& lowered, unsigned id) {
  for (const Step& step : lowered.steps) {
    const auto* const add = std::get_if<SlotAdd>(&step.command);
    if (add != nullptr && add->id == id) return add->size >> page_shift;
  }
  return 0;
}

/// Answers to a parallel block, each beside all of other threads: what the text expects,
/// a bitmap of some first pages, or what some access of the block stores; whether the
/// model admits them. False for blocks with anything else.
bool draw_block(spec::Machine& machine, const Lowered& lowered, std::span<const Step> block,
                props::Draw& draw) {
  std::vector<ParallelCommand> commands;
  std::vector<ParallelAnswer> answers;
  std::vector<std::uint64_t> stored;
  for (const Step& step : block) {
    const auto* const access = std::get_if<Access>(&step.command);
    if (access != nullptr && access->kind == AccessKind::write) stored.push_back(access->value);
  }
  for (const Step& step : block) {
    ParallelAnswer answer;
    answer.began = 0;
    answer.ended = 1;
    if (step.expected) {
      answer.observation = *step.expected;
    } else if (const auto* const get = std::get_if<DirtyGet>(&step.command)) {
      const std::uint64_t pages = pages_of_slot(lowered, get->id);
      DirtyBitmap bitmap{pages, std::vector<std::uint64_t>((pages + 63) / 64)};
      if (!bitmap.words.empty()) bitmap.words[0] = draw.below(4);
      answer.observation = std::move(bitmap);
    } else if (std::holds_alternative<Peek>(step.command) && !stored.empty()) {
      answer.observation = Value{stored[draw.below(stored.size())]};
    } else {
      return false;
    }
    commands.push_back({*step.thread, step.command});
    answers.push_back(std::move(answer));
  }
  return machine.judge(commands, answers).kind == spec::Judgement::Kind::admitted;
}

/// One draw of answers to the whole program.
void draw_answers(const Lowered& lowered, const Platform& platform, std::uint64_t seed,
                  std::array<std::uint64_t, spec::looseness_count>& sum) {
  spec::Machine machine(lowered.configuration, platform);
  props::Draw draw(seed);
  for (std::size_t at = 0; at < lowered.steps.size(); ++at) {
    const Step& step = lowered.steps[at];
    if (const std::size_t end = end_of_block(lowered.steps, at); end != at) {
      const auto block = std::span(lowered.steps).subspan(at, end - at);
      if (!draw_block(machine, lowered, block, draw)) break;
      at = end - 1;
      continue;
    }
    const auto* const access = std::get_if<Access>(&step.command);
    const bool upper = access != nullptr && access->cpl == Cpl::user && access->gva >> 63 != 0;
    if (upper && !step.expected && !platform.deviations.empty()) {
      // What the host's own tables show there is not the model's to draw.
      const PageFault fault{fault::present | fault::user | fault::reserved, access->gva};
      if (machine.judge(step.command, fault).kind != spec::Judgement::Kind::admitted) break;
      continue;
    }
    const auto taken = machine.take(step.command, [&](std::span<const Observation> outcomes) {
      if (step.expected) {
        const auto found = std::ranges::find(outcomes, *step.expected);
        if (found != outcomes.end()) return static_cast<std::size_t>(found - outcomes.begin());
      }
      return static_cast<std::size_t>(draw.below(outcomes.size()));
    });
    if (taken.judgement.kind != spec::Judgement::Kind::admitted) break;
  }
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += machine.looseness_used()[i];
}

}  // namespace

std::span<const LoosenessEvidence> looseness_evidence() { return evidence; }

std::array<std::uint64_t, spec::looseness_count> loosenesses_needed(const Program& program) {
  constexpr std::uint64_t draws = 24;
  std::array<std::uint64_t, spec::looseness_count> sum{};
  const auto lowered = lower(program);
  if (!lowered) return sum;
  for (const Platform& platform : platforms()) {
    const MmuKind mmu = lowered->configuration.mmu;
    if (mmu == (platform.tdp ? MmuKind::shadow : MmuKind::tdp)) continue;
    for (std::uint64_t seed = 1; seed <= draws; ++seed) {
      draw_answers(*lowered, platform, seed, sum);
    }
  }
  return sum;
}

}  // namespace lockstep::jobs
