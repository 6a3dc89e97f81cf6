// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/kvm/memory.h"

#include <algorithm>

#include "spec/vocabulary/configuration.h"

namespace lockstep::spec {
namespace {

constexpr Hva cell_of(Hva hva) { return hva & ~7ull; }
constexpr unsigned shift_of(Hva hva) { return static_cast<unsigned>(hva & 7) * 8; }
constexpr std::uint64_t mask_of(unsigned size) {
  return size == 8 ? ~0ull : (1ull << (size * 8)) - 1;
}

}  // namespace

void Memory::sort_unique(Values& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

Memory::Version Memory::fresh(Hva hva) {
  return {0, {code_cell(static_cast<std::uint32_t>(hva >> page_shift))}, 0};
}

Memory::Cell* Memory::find(Hva cell) const {
  if (Cell* const known = recent_.find(cell)) return known;
  const auto found = cells_.find(cell);
  if (found == cells_.end()) return nullptr;
  // Of a map that is const here and not elsewhere.
  auto& versions = const_cast<Cell&>(found->second);
  recent_.keep(cell, versions);
  return &versions;
}

Memory::Cell& Memory::cell(Hva hva) {
  if (Cell* const known = find(cell_of(hva))) return *known;
  Cell& versions = cells_[cell_of(hva)];
  versions.push_back(fresh(hva));
  written_[hva >> page_shift].push_back(cell_of(hva));
  recent_.keep(cell_of(hva), versions);
  return versions;
}

void Memory::write(Moment now, Hva hva, unsigned size, std::uint64_t value) {
  Cell& versions = cell(hva);
  const std::uint64_t mask = mask_of(size) << shift_of(hva);
  Version next = versions.back();
  next.since = now;
  next.maybe &= ~mask;
  for (std::uint64_t& old : next.values) {
    old = (old & ~mask) | ((value << shift_of(hva)) & mask);
  }
  sort_unique(next.values);
  if (versions.back().since == now) {
    versions.back() = std::move(next);
  } else {
    versions.push_back(std::move(next));
  }
}

bool Memory::maybe_write(Moment now, Hva hva, unsigned size, std::uint64_t value) {
  const Version before = cell(hva).back();
  write(now, hva, size, value);
  Version& after = cell(hva).back();
  for (const std::uint64_t value_before : before.values) after.values.push_back(value_before);
  after.maybe |= before.maybe;
  sort_unique(after.values);
  return after.values.size() <= possible_bound;
}

void Memory::discard(Moment now, Hva hva, std::uint64_t size) {
  const auto renew = [&](Hva at, Cell& versions) {
    Version next = fresh(at);
    next.since = now;
    if (versions.back().since == now) {
      versions.back() = std::move(next);
    } else {
      versions.push_back(std::move(next));
    }
  };
  // A cell that was never written is fresh already.
  if (cells_.size() < size / 8) {
    for (auto& [at, versions] : cells_) {
      if (at >= hva && at - hva < size) renew(at, versions);
    }
    return;
  }
  for (Hva at = hva; at < hva + size; at += 8) {
    if (const auto found = cells_.find(at); found != cells_.end()) renew(at, found->second);
  }
}

void Memory::set_flags(Hva hva, std::uint64_t must, std::uint64_t may) {
  Version& version = cell(hva).back();
  must <<= shift_of(hva);
  may <<= shift_of(hva);
  for (std::uint64_t& value : version.values) value |= must;
  sort_unique(version.values);
  version.maybe = (version.maybe | may) & ~must;
}

Memory::Possibles Memory::load(Hva hva, unsigned size) const {
  const Cell* const found = find(cell_of(hva));
  Possibles possible;
  if (found == nullptr) {
    possible.push_back({(fresh(hva).values.front() >> shift_of(hva)) & mask_of(size), 0});
    return possible;
  }
  const Version& now = found->back();
  possible.reserve(now.values.size());
  for (const std::uint64_t value : now.values) {
    possible.push_back({(value >> shift_of(hva)) & mask_of(size),
                        ((now.maybe & ~value) >> shift_of(hva)) & mask_of(size)});
  }
  return possible;
}

void Memory::learn(Hva hva, unsigned size, std::uint64_t value, std::uint64_t flags) {
  if (find(cell_of(hva)) == nullptr) {
    // That a fresh page holds what fresh pages do is known.
    const std::uint64_t known = fresh(hva).values.front() >> shift_of(hva);
    if (((known ^ value) & mask_of(size)) == 0) return;
  }
  Version& version = cell(hva).back();
  const std::uint64_t mask = mask_of(size) << shift_of(hva);
  const std::uint64_t seen = (value << shift_of(hva)) & mask;
  const std::uint64_t before = version.values.front();
  const std::uint64_t settable = version.maybe | (flags << shift_of(hva));
  const auto contradicts = [&](std::uint64_t old) {
    return ((old ^ seen) & mask & ~(settable & ~old)) != 0;
  };
  auto kept = std::remove_if(version.values.begin(), version.values.end(), contradicts);
  // What was seen is what is there, even if nothing foresaw it.
  if (kept == version.values.begin()) *kept++ = before;
  version.values.erase(kept, version.values.end());
  for (std::uint64_t& old : version.values) old = (old & ~mask) | seen;
  sort_unique(version.values);
  version.maybe &= ~mask;
}

void Memory::versions(Hva hva, unsigned size, Moment since, Moment from, Moment until,
                      std::vector<EntryVersion>& out) const {
  static const auto append = [](const Version& version, Hva at, unsigned bytes, Moment first,
                                Moment end, std::vector<EntryVersion>& to) {
    for (const std::uint64_t value : version.values) {
      to.push_back({first, end, (value >> shift_of(at)) & mask_of(bytes),
                    ((version.maybe & ~value) >> shift_of(at)) & mask_of(bytes)});
    }
  };
  const Cell* const found = find(cell_of(hva));
  if (found == nullptr) {
    append(fresh(hva), hva, size, from, until, out);
    return;
  }
  const Cell& cell = *found;
  for (std::size_t i = 0; i < cell.size(); ++i) {
    const Moment first = std::max(cell[i].since, from);
    const Moment end = std::min(i + 1 < cell.size() ? cell[i + 1].since : still_true, until);
    if (end <= since || first >= end) continue;
    append(cell[i], hva, size, first, end, out);
  }
}

std::span<const Hva> Memory::written_in(Hfn page) const {
  const auto found = written_.find(page);
  if (found == written_.end()) return {};
  return {found->second.data(), found->second.size()};
}

}  // namespace lockstep::spec
