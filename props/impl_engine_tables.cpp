// SPDX-License-Identifier: GPL-2.0-or-later
/// The `impl` engine: shadow tables as bytes, for a processor that can walk them.
#include "props/impl_engine_class.h"

namespace lockstep::props::impl_engine {
namespace {

class Tables final : public TableExport {
 public:
  Tables(impl::Vm& vm, PagingMode mode, Hfn root) : vm_(vm), mode_(mode), root_(root) {}
  PagingMode mode() const override { return mode_; }
  Hfn root() const override { return root_; }
  const std::uint64_t* table(Hfn frame) const override {
    impl::ShadowPage* const page = vm_.arena().find(frame);
    return page == nullptr ? nullptr : page->table();
  }
  std::optional<std::uint64_t> load(Hfn frame, unsigned offset) const override {
    if (!vm_.memory().has_frame(frame)) return std::nullopt;
    return vm_.memory().load_frame(frame, offset, 8);
  }

 private:
  impl::Vm& vm_;
  PagingMode mode_;
  Hfn root_;
};

}  // namespace

std::unique_ptr<TableExport> ImplEngine::export_tables(unsigned vcpu) {
  if (!machine_ || vcpu >= machine_->vcpus.size() || !machine_->vcpus[vcpu]) return nullptr;
  impl::Vcpu& mmu = machine_->vcpus[vcpu]->mmu;
  // What the MMU still owes is done before a guest runs.
  if (!mmu.prepare_entry() || !mmu.root_frame()) return nullptr;
  const PagingMode mode = mmu.root_level() == 5 ? PagingMode::level5 : PagingMode::level4;
  return std::make_unique<Tables>(vm(), mode, *mmu.root_frame());
}

std::optional<std::uint64_t> ImplEngine::mmu_bytes() {
  if (!machine_) return std::nullopt;
  return vm().bytes();
}

}  // namespace lockstep::props::impl_engine
