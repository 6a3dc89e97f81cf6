// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/roots.h"

#include <algorithm>

#include "impl/spte.h"

namespace lockstep::impl {

void Roots::unload() {
  for (unsigned quarter = 0; quarter < quarters_.size(); ++quarter) {
    quarters_[quarter] = RootRef{};
    if (upper_) upper_->set(quarter, 0);
  }
  quartered_ = false;
  if (!whole_[0].root) return;
  // The oldest hold falls out at the end.
  std::rotate(whole_.begin(), whole_.end() - 1, whole_.end());
  whole_[0] = Whole{};
}

bool Roots::switch_to(std::uint64_t cr3, const Role& role) {
  const auto serves = [&](const Whole& whole) {
    if (!whole.root) return false;
    const Role& have = mutant(Mutant::root_of_other_role) ? role : whole.root.page().role;
    return root_serves<std::uint64_t>(!whole.root.usable(), whole.cr3, cr3, have, role);
  };
  if (serves(whole_[0]) && !quartered_) return true;
  unload();
  const auto known = std::find_if(whole_.begin() + 1, whole_.end(), serves);
  if (known == whole_.end()) return false;
  std::swap(whole_[0], *known);
  return true;
}

void Roots::set(RootRef root, std::uint64_t cr3) {
  unload();
  whole_[0] = Whole{.root = std::move(root), .cr3 = cr3};
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

void Roots::set_quarter(unsigned quarter, RootRef root) {
  upper_->set(quarter, nonleaf_spte(root.page().frame()));
  quarters_[quarter] = std::move(root);
}

void Roots::clear() {
  unload();
  for (Whole& whole : whole_) whole = Whole{};
  top_.reset();
  upper_.reset();
}

void Roots::free_obsolete() {
  for (Whole& whole : whole_) {
    // 527d5cd7eece asked the current root about all of them.
    const RootRef& asked = mutant(Mutant::previous_roots_kept) ? whole_[0].root : whole.root;
    if (!asked.usable()) whole = Whole{};
  }
  for (unsigned quarter = 0; quarter < quarters_.size(); ++quarter) {
    if (!quarters_[quarter] || quarters_[quarter].usable()) continue;
    quarters_[quarter] = RootRef{};
    upper_->set(quarter, 0);
  }
}

void Roots::free_pcid(unsigned pcid) {
  for (std::size_t i = 1; i < whole_.size(); ++i) {
    if ((whole_[i].cr3 & 0xfff) == pcid) whole_[i] = Whole{};
  }
}

std::optional<Hfn> Roots::frame() const {
  if (quartered_) {
    return mutant(Mutant::quarters_as_top_table) ? upper_->frame() : top_->frame();
  }
  if (whole_[0].root.usable()) return whole_[0].root.page().frame();
  return std::nullopt;
}

ShadowPage* Roots::start(Gva gva) const {
  const RootRef& root =
      quartered_ ? quarters_[quadrant_of_address<std::uint64_t>(gva, 2)] : whole_[0].root;
  return root.usable() ? &root.page() : nullptr;
}

}  // namespace lockstep::impl
