// SPDX-License-Identifier: GPL-2.0-or-later
// Commands of the host's memory management and of KVM's own workers.
#include <fmt/format.h>

#include "hw/hosted/engine.h"
#include "hw/hosted/known_findings.h"
#include "spec/kvm/aging.h"

namespace lockstep::hw::hosted {
namespace {

/// Of programs that are not looked at after each command, one aging in so many is judged by
/// the entries.
constexpr std::uint64_t sampled_agings = 32;

}  // namespace

Result<Observation> HostedEngine::on(const RingCollect&) {
  counts_.hit(Path::ring_collect);
  DirtyPages pages = std::exchange(full_rings_, {});
  const auto taken = machine_->collect(pages);
  if (!taken || *taken < 0) return failed(taken);
  return pages;
}

Result<Observation> HostedEngine::on(const MmuPages& command) {
  counts_.hit(Path::mmu_pages);
  const auto set = machine_->vm().ioctl(KVM_SET_NR_MMU_PAGES, command.pages);
  if (set != 0) return failed(set);
  return Done{};
}

Result<Observation> HostedEngine::on(const HostChange& command) {
  counts_.hit(Path::host_change);
  const std::uint64_t memory = configuration_.memory;
  if (command.hva > memory || memory - command.hva < command.size) {
    return tl::unexpected(EngineError{"the host changes pages that the program does not have"});
  }
  Arena& arena = session_->arena();
  const std::uint64_t first = command.hva >> page_shift;
  const std::uint64_t pages = command.size >> page_shift;
  if (pages == 0) return Done{};
  if (command.action == HostAction::age) {
    return age(first, pages);
  }
  // The reaper of out-of-memory tasks discards, and must not block: every second time.
  const bool second = host_changes_++ % 2 != 0;
  const bool reaped = second && command.action == HostAction::discard;
  if (reaped) counts_.hit(Path::notified_at_once);
  (void)session_->notify(reaped ? HOSTED_NOTIFY_START_AT_ONCE : HOSTED_NOTIFY_START, first, pages);
  Result<void> changed;
  switch (command.action) {
    case HostAction::migrate:
      changed = arena.migrate(first, pages);
      break;
    case HostAction::protect:
    case HostAction::unprotect:
      changed = arena.protect(first, pages, command.action == HostAction::unprotect);
      break;
    case HostAction::split:
      arena.split(first, pages);
      break;
    case HostAction::collapse:
      changed = arena.collapse(first, pages);
      break;
    case HostAction::discard:
      changed = arena.discard(first, pages);
      break;
    case HostAction::age:
      break;
  }
  session_->tell_levels(first, pages + 1);
  // A page that moves because its user writes to a copy is told with its new entry.
  if (second && command.action == HostAction::migrate) {
    if (session_->notify(HOSTED_NOTIFY_CHANGE, first, 1).value_or(0) > 0) {
      counts_.hit(Path::changed_entry);
    }
  }
  (void)session_->notify(HOSTED_NOTIFY_END, first, pages);
  if (!changed) return tl::unexpected(changed.error());
  return Done{};
}

Result<Observation> HostedEngine::age(std::uint64_t first, std::uint64_t pages) {
  // Some programs of each engine show what is inside; in the others answers are compared.
  const bool looks = checks_ != InvariantChecks::off && !scheduled_ && !probing_ &&
                     (check_commands_ || agings_++ % sampled_agings == 0);
  std::optional<spec::View> before;
  if (looks) {
    if (auto seen = view()) before = *std::move(seen);
  }
  const auto young = [&](hosted_notify kind, std::uint64_t count) {
    return session_->notify(kind, first, count).value_or(0) > 0;
  };
  // Page reclaim wants what it makes old flushed (7.2 does not even then), the idle page
  // tracker does not.
  const hosted_notify kind =
      host_changes_++ % 2 != 0 ? HOSTED_NOTIFY_CLEAR_YOUNG : HOSTED_NOTIFY_AGE;
  spec::AgingAnswers answers;
  answers.first_young = young(HOSTED_NOTIFY_TEST_YOUNG, 1);
  answers.young = young(kind, pages);
  answers.still_young = young(HOSTED_NOTIFY_TEST_YOUNG, 1);
  // Other CPUs' guests run on.
  if (scheduled_ || session_->host().tainted()) return Done{};
  auto wrong = spec::judge_aging(answers);
  if (before) {
    counts_.hit(Path::aging);
    const auto after = view();
    if (after) {
      const Hva address = session_->arena().hva_base() + (first << page_shift);
      const auto judge = [&](spec::AgingWalk walk) {
        return spec::judge_aging(answers, *before, *after, address, pages, walk);
      };
      wrong = judge(spec::AgingWalk::each_leaf);
      const bool by_steps = session_->image().boundary().ages_by_steps != 0;
      if (wrong && by_steps && !judge(spec::AgingWalk::by_steps)) {
        session_->count_known(known_aging);
        wrong.reset();
      }
    }
  }
  if (!wrong) return Done{};
  if (checks_ == InvariantChecks::sampled) checks_ = InvariantChecks::every_command;
  return complain(*std::move(wrong));
}

void HostedEngine::move_while_used(std::uint64_t address) {
  const std::uint64_t base = session_->arena().hva_base();
  if (address < base || address - base >= configuration_.memory) return;
  if (on(HostChange{HostAction::migrate, address - base, page_size})) counts_.hit(Path::host_race);
}

Result<Observation> HostedEngine::on(const Shrink& command) {
  counts_.hit(Path::shrink);
  const auto freed = session_->host().enter([&] {
    return session_->image().boundary().shrink(static_cast<unsigned long>(command.objects));
  });
  if (freed && *freed < 0) return tl::unexpected(EngineError{"this kernel's KVM has no shrinker"});
  return Done{};
}

Result<Observation> HostedEngine::on(const NxRecover&) {
  counts_.hit(Path::nx_recover);
  (void)session_->host().enter([&] { return long{session_->image().boundary().recover()}; });
  return Done{};
}

}  // namespace lockstep::hw::hosted
