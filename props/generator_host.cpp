// SPDX-License-Identifier: GPL-2.0-or-later
/// Phrases about the host: limits and reclaim of shadow pages, and what happens
/// to the memory behind guest pages.
#include <algorithm>

#include "props/generator_phrases.h"

namespace lockstep::props {
namespace {

constexpr std::uint64_t huge_page = 0x20'0000;

/// Where the data of programs stands; below are page tables, see lay_slots().
constexpr Hva first_data = 0x20'0000;

constexpr HostAction actions[] = {HostAction::migrate, HostAction::age, HostAction::split,
                                  HostAction::collapse, HostAction::discard};

bool has_action(const Sketch& sketch, HostAction action) { return sketch.has(feature_of(action)); }

/// The host page behind a data page that a slot backs.
std::optional<Hva> draw_host_page(Sketch& sketch, Hva from) {
  const auto first = sketch.draw.below(sketch.data.size());
  for (std::size_t i = 0; i < sketch.data.size(); ++i) {
    const auto hva = sketch.slots.hva(sketch.data[(first + i) % sketch.data.size()]);
    if (hva && *hva >= from) return *hva & page_mask;
  }
  return std::nullopt;
}

/// A few pages around the page, or the huge page around it.
HostChange around(Sketch& sketch, HostAction action, Hva page) {
  auto& draw = sketch.draw;
  HostChange change{action, page, page_size};
  const bool whole = action == HostAction::split || action == HostAction::collapse;
  if (whole || draw.chance(25)) {
    change.hva &= ~(huge_page - 1);
    change.size = huge_page;
  } else if (draw.chance(30)) {
    change.size *= draw.of({2u, 3u, 16u});
  }
  change.size = std::min(change.size, sketch.program.configuration.memory - change.hva);
  return change;
}

/// Accesses that keep shadow pages coming.
void walk_about(Sketch& sketch) {
  const auto vcpu = draw_vcpu(sketch);
  const auto count = sketch.draw.between(1, 3);
  for (unsigned i = 0; i < count; ++i) access(sketch, vcpu, draw_page(sketch));
}

}  // namespace

bool may_mmu_pages(const Sketch& sketch) { return sketch.has(Feature::mmu_pages); }

void speak_mmu_pages(Sketch& sketch) {
  auto& draw = sketch.draw;
  walk_about(sketch);
  if (draw.chance(10)) {
    sketch.emit(MmuPages{draw.of({0u, 1u, 63u})});
  } else {
    sketch.emit(MmuPages{draw.of({64u, 64u, 65u, 80u, 1024u})});
  }
  walk_about(sketch);
}

bool may_host_change(const Sketch& sketch) {
  return std::any_of(std::begin(actions), std::end(actions),
                     [&](HostAction action) { return has_action(sketch, action); });
}

/// Between two uses of a page, or of its neighbours, the host acts on it.
void speak_host_change(Sketch& sketch) {
  auto& draw = sketch.draw;
  const auto action = actions[draw.below(std::size(actions))];
  if (!has_action(sketch, action)) return;
  // User space must not rewrite live tables: discard leaves them alone.
  const bool tables_too = action != HostAction::discard && draw.chance(25);
  const auto page = draw_host_page(sketch, tables_too ? 0 : first_data);
  if (!page) return;
  walk_about(sketch);
  sketch.emit(around(sketch, action, *page));
  walk_about(sketch);
  if (draw.chance(30)) sketch.emit(Peek{draw.of(sketch.data) + 0x100, 8});
}

bool may_host_protect(const Sketch& sketch) { return sketch.has(Feature::host_protect); }

/// Never a page table: what a walk then does is not modelled.
void speak_host_protect(Sketch& sketch) {
  auto& draw = sketch.draw;
  const auto page = draw_host_page(sketch, first_data);
  if (!page) return;
  if (draw.chance(60)) walk_about(sketch);
  const auto change = around(sketch, HostAction::protect, *page);
  sketch.emit(change);
  const auto vcpu = draw_vcpu(sketch);
  access(sketch, vcpu, draw_page(sketch), AccessKind::read, Cpl::user);
  for (unsigned i = 0; i < 2; ++i) {
    access(sketch, vcpu, draw_page(sketch), AccessKind::write,
           draw.chance(70) ? Cpl::user : Cpl::supervisor);
  }
  // Tables are user space's to rewrite no more.
  const auto gpa = draw.of(sketch.data);
  if (gpa >= harness::window && draw.chance(20)) {
    sketch.emit(Poke{gpa + 0x100, code_cell(7), 8, false});
  }
  if (draw.chance(15)) return;
  sketch.emit(HostChange{HostAction::unprotect, change.hva, change.size});
  access(sketch, vcpu, draw_page(sketch), AccessKind::write, Cpl::user);
}

bool may_reclaim(const Sketch& sketch) {
  return sketch.has(Feature::shrinker) || sketch.has(Feature::nx_recovery);
}

void speak_reclaim(Sketch& sketch) {
  auto& draw = sketch.draw;
  walk_about(sketch);
  if (sketch.has(Feature::shrinker) && (!sketch.has(Feature::nx_recovery) || draw.chance(50))) {
    sketch.emit(Shrink{draw.of({1u, 4u, 128u, 4096u})});
  } else {
    sketch.emit(NxRecover{});
  }
  walk_about(sketch);
}

}  // namespace lockstep::props
