// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/program.h"

namespace lockstep {

namespace {

constexpr Feature feature_of(PagingMode mode) {
  switch (mode) {
    case PagingMode::none:
      return Feature::paging_none;
    case PagingMode::bits32:
      return Feature::paging_bits32;
    case PagingMode::pae:
      return Feature::paging_pae;
    case PagingMode::level5:
      return Feature::paging_level5;
    default:
      return Feature::paging_level4;
  }
}

class Needs {
 public:
  explicit Needs(PagingMode mode) : mode_(mode) { need(feature_of(mode)); }

  void need(Feature feature) { features_.set(static_cast<std::size_t>(feature)); }

  void control(ControlBit bit) {
    switch (bit) {
      case ControlBit::cr0_wp:
        return;
      case ControlBit::cr4_pse:
        return need(Feature::pse);
      case ControlBit::cr4_pge:
        return need(Feature::pge);
      case ControlBit::cr4_smep:
        return need(Feature::smep);
      case ControlBit::cr4_smap:
        return need(Feature::smap);
      case ControlBit::cr4_pke:
        return need(Feature::pke);
      case ControlBit::cr4_pcide:
        return need(Feature::pcid);
      case ControlBit::efer_nx:
        return need(Feature::nx);
    }
  }

  void operator()(const SlotAdd& c) {
    if (c.read_only) need(Feature::read_only_slots);
  }
  void operator()(const SlotFlags& c) {
    if (c.read_only) need(Feature::read_only_slots);
  }
  void operator()(const Map& c) { entry(c.level, c.rights | entry::present | entry::page_size); }
  void operator()(const EntrySet& c) { entry(c.level, c.value); }
  void operator()(const SetControl& c) {
    if (c.on) control(c.bit);
  }
  void operator()(const Invpcid&) { need(Feature::invpcid); }
  void operator()(const Translate&) { need(Feature::translate); }
  void operator()(const MmuPages&) { need(Feature::mmu_pages); }
  void operator()(const HostChange& c) { need(feature_of(c.action)); }
  void operator()(const Shrink&) { need(Feature::shrinker); }
  void operator()(const NxRecover&) { need(Feature::nx_recovery); }
  template <typename Other>
  void operator()(const Other&) {}

  const Features& features() const { return features_; }

 private:
  void entry(TableLevel level, std::uint64_t value) {
    const bool wide = mode_ == PagingMode::level4 || mode_ == PagingMode::level5;
    constexpr std::uint64_t large = entry::present | entry::page_size;
    if (wide && level == TableLevel::pdpt && (value & large) == large) {
      need(Feature::gigabyte_pages);
    }
  }

  PagingMode mode_;
  Features features_;
};

}  // namespace

Features needs(const Program& program) {
  const Configuration& configuration = program.configuration;
  Needs needs(configuration.paging);
  if (configuration.mmu == MmuKind::shadow) needs.need(Feature::mmu_shadow);
  if (configuration.mmu == MmuKind::tdp) needs.need(Feature::mmu_tdp);
  if (configuration.dirty_log == DirtyLogMode::manual) needs.need(Feature::dirty_log_manual);
  if (configuration.dirty_log == DirtyLogMode::manual_all_set) {
    needs.need(Feature::dirty_log_manual);
    needs.need(Feature::dirty_log_all_set);
  }
  if (configuration.dirty_log == DirtyLogMode::ring) needs.need(Feature::dirty_ring);
  if (!configuration.slot_zap_all) needs.need(Feature::slot_zap_quirk);
  if (configuration.smm) needs.need(Feature::smm);
  for (unsigned bit = 0; bit < control_bit_count; ++bit) {
    const auto control = static_cast<ControlBit>(bit);
    if (configuration.control.has(control)) needs.control(control);
  }
  for (const auto& step : program.steps) {
    std::visit(needs, step.command);
    if (step.thread) needs.need(Feature::parallel_blocks);
  }
  return needs.features();
}

}  // namespace lockstep
