// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/reach.h"

#include <string_view>
#include <vector>

#include "props/campaign.h"

namespace lockstep::props {
namespace {

/// Index in reach_names().
enum Path : unsigned {
  access_read,
  access_write,
  access_fetch,
  access_cpl0,
  access_cpl3,
  access_pf_fixed,
  access_page_fault,
  mmio_read,
  mmio_write,
  vcpu1,
  entry_write,
  slot_ok,
  slot_errno,
  dirty_get,
  dirty_clear,
  translate,
  cr3,
  invlpg,
  invpcid,
  control,
  mmu_pages,
  host_migrate,
  host_protect,
  host_unprotect,
  host_age,
  host_split,
  host_collapse,
  host_discard,
  host_refused,
  shrink,
  nx_recover,
  ring_collect,
  parallel_block
};

}  // namespace

const std::vector<std::string_view>& reach_names() {
  static const std::vector<std::string_view> names = {"access read",
                                                      "access write",
                                                      "access fetch",
                                                      "access cpl0",
                                                      "access cpl3",
                                                      "access pf_fixed",
                                                      "access #PF",
                                                      "mmio read",
                                                      "mmio write",
                                                      "vcpu1",
                                                      "entry write",
                                                      "slot ok",
                                                      "slot errno",
                                                      "dirty get",
                                                      "dirty clear",
                                                      "translate",
                                                      "cr3",
                                                      "invlpg",
                                                      "invpcid",
                                                      "control",
                                                      "mmu pages",
                                                      "host migrate",
                                                      "host protect",
                                                      "host unprotect",
                                                      "host age",
                                                      "host split",
                                                      "host collapse",
                                                      "host discard",
                                                      "host refused write",
                                                      "shrink",
                                                      "nx recover",
                                                      "ring collect",
                                                      "parallel block"};
  return names;
}

void Reach::count_block() { ++counts_[parallel_block]; }

void Reach::count(const Command& command, const Observation& observation) {
  const bool done = std::holds_alternative<Done>(observation);
  const bool failed = std::holds_alternative<Errno>(observation);
  if (const auto* access = std::get_if<Access>(&command)) {
    const bool through = done || std::holds_alternative<Value>(observation);
    if (through) ++counts_[access_read + static_cast<unsigned>(access->kind)];
    ++counts_[access->cpl == Cpl::supervisor ? access_cpl0 : access_cpl3];
    if (std::holds_alternative<PageFault>(observation)) ++counts_[access_page_fault];
    if (failed) ++counts_[host_refused];
  } else if (const auto* entry = std::get_if<EntrySet>(&command)) {
    if (entry->vcpu && done) ++counts_[entry_write];
  } else if (std::holds_alternative<SlotAdd>(command) ||
             std::holds_alternative<SlotDelete>(command) ||
             std::holds_alternative<SlotMove>(command) ||
             std::holds_alternative<SlotFlags>(command)) {
    ++counts_[failed ? slot_errno : slot_ok];
  } else if (std::holds_alternative<DirtyGet>(command)) {
    if (!failed) ++counts_[dirty_get];
  } else if (std::holds_alternative<DirtyClear>(command)) {
    if (!failed) ++counts_[dirty_clear];
  } else if (std::holds_alternative<Translate>(command)) {
    ++counts_[translate];
  } else if (const auto* ring = std::get_if<DirtyPages>(&observation)) {
    // Empty rings say nothing.
    if (!ring->slots.empty()) ++counts_[ring_collect];
  } else if (const auto* change = std::get_if<HostChange>(&command)) {
    if (done) ++counts_[host_migrate + static_cast<unsigned>(change->action)];
  } else if (done) {
    if (std::holds_alternative<MmuPages>(command)) ++counts_[mmu_pages];
    if (std::holds_alternative<Shrink>(command)) ++counts_[shrink];
    if (std::holds_alternative<NxRecover>(command)) ++counts_[nx_recover];
    if (std::holds_alternative<LoadCr3>(command)) ++counts_[cr3];
    if (std::holds_alternative<Invlpg>(command)) ++counts_[invlpg];
    if (std::holds_alternative<Invpcid>(command)) ++counts_[invpcid];
    if (std::holds_alternative<SetControl>(command)) ++counts_[control];
  }
  if (const auto* mmio = std::get_if<Mmio>(&observation)) {
    ++counts_[mmio->write ? mmio_write : mmio_read];
  }
  if (const auto vcpu = vcpu_of(command); vcpu && *vcpu == 1) ++counts_[vcpu1];
}

namespace {

constexpr std::array<std::string_view, 8> drawn_names = {
    "drawn programs",      "drawn tdp",          "drawn tdp-mmu",     "drawn eager-split",
    "drawn nx-huge-pages", "drawn vendor=intel", "drawn five-levels", "drawn protection keys"};

}  // namespace

void Drawn::count(const Configuration& configuration, const Platform& platform) {
  if (!platform.features.test(static_cast<std::size_t>(Feature::host_parameters))) return;
  const HostParameters& host = configuration.host;
  const bool tdp = configuration.mmu != MmuKind::shadow;
  const bool chosen[] = {
      true,
      tdp,
      tdp && host.tdp_mmu.value_or(true),
      host.eager_page_split.value_or(true),
      host.nx_huge_pages.value_or(false),
      host.vendor == Vendor::intel,
      configuration.paging == PagingMode::level5 || host.five_levels.value_or(false),
      configuration.control.has(ControlBit::cr4_pke)};
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += chosen[i] ? 1 : 0;
}

std::map<std::string, std::uint64_t> Drawn::by_name() const {
  std::map<std::string, std::uint64_t> result;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] != 0) result.emplace(drawn_names[i], counts_[i]);
  }
  return result;
}

std::map<std::string, std::uint64_t> Reach::by_name() const {
  std::map<std::string, std::uint64_t> result;
  const auto& names = reach_names();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (counts_[i] != 0) result.emplace(names[i], counts_[i]);
  }
  return result;
}

std::map<std::string, std::uint64_t> merged(const Reach& checks,
                                            const std::map<std::string, std::uint64_t>& engine) {
  // Where both count a path, what the checks judged is what was reached: an
  // engine also counts attempts that ended in a fault.
  auto result = checks.by_name();
  for (const auto& [path, count] : engine) result.emplace(path, count);
  return result;
}

}  // namespace lockstep::props
