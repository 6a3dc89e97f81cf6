// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/roots.h"

#include <algorithm>

#include "impl/spte.h"

namespace lockstep::impl {

void Roots::unload() {
  for (unsigned quarter = 0; quarter < quarters_.size(); ++quarter) {
    quarters_[quarter] = RootRef{};
    if (upper_) upper_->clear(quarter);
  }
  quartered_ = false;
  if (!whole_[0]) return;
  // The oldest hold falls out at the end.
  std::rotate(whole_.begin(), whole_.end() - 1, whole_.end());
  whole_[0] = RootRef{};
}

Expected<void> Roots::load(MemoryCache& cache, Gfn gfn, const Role& role) {
  const auto match = [&](const RootRef& root) {
    return root.usable() && root.page().gfn == gfn && root.page().role == role;
  };
  if (match(whole_[0]) && !quartered_) return {};
  unload();
  const auto known = std::find_if(whole_.begin() + 1, whole_.end(), match);
  if (known != whole_.end()) {
    std::swap(whole_[0], *known);
    return {};
  }
  auto page = mmu_->get_page(cache, gfn, role);
  if (!page) return fail(page.error());
  whole_[0] = mmu_->root(**page);
  return {};
}

Expected<void> Roots::load_quartered(MemoryCache& cache) {
  unload();
  for (ShadowPagePtr* table : {&upper_, &top_}) {
    if (*table) continue;
    auto page = cache.take();
    if (!page) return fail(page.error());
    *table = std::move(*page);
    (*table)->special = true;
  }
  top_->set(0, nonleaf_spte(upper_->frame()));
  quartered_ = true;
  return {};
}

Expected<void> Roots::set_quarter(MemoryCache& cache, unsigned quarter, Gfn gfn, const Role& role) {
  auto page = mmu_->get_page(cache, gfn, role);
  if (!page) return fail(page.error());
  quarters_[quarter] = mmu_->root(**page);
  upper_->set(quarter, nonleaf_spte((*page)->frame()));
  return {};
}

void Roots::clear() {
  unload();
  for (RootRef& root : whole_) root = RootRef{};
  top_.reset();
  upper_.reset();
}

void Roots::free_obsolete() {
  for (RootRef& root : whole_) {
    if (!root.usable()) root = RootRef{};
  }
  for (unsigned quarter = 0; quarter < quarters_.size(); ++quarter) {
    if (!quarters_[quarter] || quarters_[quarter].usable()) continue;
    quarters_[quarter] = RootRef{};
    upper_->clear(quarter);
  }
}

std::optional<Hfn> Roots::frame() const {
  if (quartered_) return top_->frame();
  if (whole_[0].usable()) return whole_[0].page().frame();
  return std::nullopt;
}

ShadowPage* Roots::start(Gva gva) const {
  const RootRef& root = quartered_ ? quarters_[(gva >> 30) & 3] : whole_[0];
  return root.usable() ? &root.page() : nullptr;
}

}  // namespace lockstep::impl
