// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/engine.h"

#include <array>

namespace lockstep {

std::string_view name(Feature feature) {
  static constexpr std::array<std::string_view, feature_count> names = {
      "non-paging guest",
      "32-bit paging",
      "PAE paging",
      "4-level paging",
      "5-level paging",
      "shadow paging",
      "two-dimensional paging",
      "NX",
      "SMEP",
      "SMAP",
      "global pages",
      "4M pages",
      "protection keys",
      "PCID",
      "INVPCID",
      "1G pages",
      "read-only slots",
      "manual dirty-log protect",
      "dirty log initially all set",
      "KVM_TRANSLATE",
      "SMM",
      "choice of host parameters",
      "KVM_SET_NR_MMU_PAGES",
      "page migration",
      "host write protection",
      "host page aging",
      "splitting of huge host pages",
      "collapsing of host pages",
      "discarding of host pages",
      "MMU shrinker",
      "NX huge page recovery",
      "dirty rings",
      "KVM_X86_QUIRK_SLOT_ZAP_ALL",
      "parallel blocks"};
  return names[static_cast<std::size_t>(feature)];
}

Result<std::vector<ParallelAnswer>> Engine::execute_parallel(std::span<const ParallelCommand>) {
  return tl::unexpected(EngineError{"this engine has no parallel blocks"});
}

namespace {

constexpr UserSlots::Region never_set(unsigned id) {
  return {.id = id, .gpa = 0, .size = page_size, .hva = 0, .log = false, .read_only = false};
}

}  // namespace

std::optional<UserSlots::Region> UserSlots::region(const Command& command) const {
  if (const auto* add = std::get_if<SlotAdd>(&command)) {
    return Region{add->id, add->gpa, add->size, add->hva, add->log, add->read_only};
  }
  if (const auto* gone = std::get_if<SlotDelete>(&command)) {
    const Region* old = find(gone->id);
    Region region = old != nullptr ? *old : never_set(gone->id);
    region.size = 0;
    return region;
  }
  if (const auto* move = std::get_if<SlotMove>(&command)) {
    const Region* old = find(move->id);
    Region region = old != nullptr ? *old : never_set(move->id);
    region.gpa = move->gpa;
    return region;
  }
  if (const auto* flags = std::get_if<SlotFlags>(&command)) {
    const Region* old = find(flags->id);
    Region region = old != nullptr ? *old : never_set(flags->id);
    region.log = flags->log;
    region.read_only = flags->read_only;
    return region;
  }
  return std::nullopt;
}

void UserSlots::accept(const Region& region) {
  if (region.size == 0) {
    regions_.erase(region.id);
  } else {
    regions_[region.id] = region;
  }
}

std::optional<Hva> UserSlots::hva(Gpa gpa) const {
  for (const auto& [id, region] : regions_) {
    if (gpa >= region.gpa && gpa - region.gpa < region.size) return region.hva + (gpa - region.gpa);
  }
  return std::nullopt;
}

const UserSlots::Region* UserSlots::find(unsigned id) const {
  const auto found = regions_.find(id);
  return found == regions_.end() ? nullptr : &found->second;
}

}  // namespace lockstep
