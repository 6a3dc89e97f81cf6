// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/kvm/dirty_log.h"

#include <cerrno>

namespace lockstep::spec {
namespace {

constexpr std::uint64_t word_pages = 64;

std::uint64_t bit(std::uint64_t page) { return 1ull << (page % word_pages); }

}  // namespace

DirtyLog::DirtyLog(Moment now, std::uint64_t pages, bool all_set)
    : protected_since_(all_set ? 0 : now),
      pages_(pages),
      must_((pages + word_pages - 1) / word_pages),
      may_((pages + word_pages - 1) / word_pages) {
  if (!all_set) return;
  for (std::uint64_t page = 0; page < pages; ++page) wrote(page);
}

void DirtyLog::wrote(std::uint64_t page) { must_[page / word_pages] |= bit(page); }

void DirtyLog::may_map_writable(std::uint64_t page) { may_[page / word_pages] |= bit(page); }

void DirtyLog::got(const std::vector<std::uint64_t>& pages, const std::vector<std::uint64_t>& words,
                   bool manual) {
  if (!manual) return clear(pages);
  for (std::size_t i = 0; i < must_.size(); ++i) must_[i] |= words[i] & pages[i];
}

void DirtyLog::all_protected(Moment now) {
  protected_since_ = now;
  earlier_.clear();
}

int DirtyLog::clear_error(std::uint64_t first, std::uint64_t count) const {
  // Ranges are whole words, except at the end of the slot.
  if (first % word_pages != 0 || first > pages_ || count > pages_ - first) return EINVAL;
  if (count < pages_ - first && count % word_pages != 0) return EINVAL;
  return 0;
}

void DirtyLog::clear(std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t page = first; page < first + count; ++page) {
    must_[page / word_pages] &= ~bit(page);
    may_[page / word_pages] &= ~bit(page);
  }
}

void DirtyLog::clear(const std::vector<std::uint64_t>& pages) {
  for (std::size_t i = 0; i < must_.size(); ++i) {
    must_[i] &= ~pages[i];
    may_[i] &= ~pages[i];
  }
}

}  // namespace lockstep::spec
