// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/snapshot.h"

#include <algorithm>

namespace lockstep::hw::hosted {
namespace {

/// Of the shim: an address that is handed out and never written to.
constexpr std::string_view never_written = "entry_area";

}  // namespace

Snapshot::Snapshot(Session& session) : session_(&session) {
  const Image& image = session.image();
  const auto hole = image.address_of(never_written);
  for (const auto part : image.writable()) {
    const auto begin = reinterpret_cast<std::uintptr_t>(part.data());
    constexpr std::uint64_t hole_bytes = 2ull << 20;
    if (hole && *hole >= begin && *hole - begin + hole_bytes <= part.size()) {
      keep(part.first(*hole - begin));
      keep(part.subspan(*hole - begin + hole_bytes));
    } else {
      keep(part);
    }
  }
  Arena& arena = session.arena();
  const hosted_arena frames = arena.boundary();
  // The kernel's allocator gives single pages in ascending order first.
  for (Hfn frame = frames.first_free; frame < frames.pages; ++frame) {
    if (image.boundary().is_table(frame) != 0) keep({arena.frame(frame), page_size});
  }
  session.pool()->save();
  arena.save(arena_);
  told_ = session.told_levels();
}

void Snapshot::keep(std::span<std::byte> at) {
  if (at.empty()) return;
  if (!parts_.empty() && parts_.back().at.data() + parts_.back().at.size() == at.data()) {
    Part& last = parts_.back();
    last.contents.insert(last.contents.end(), at.begin(), at.end());
    last.at = {last.at.data(), last.at.size() + at.size()};
    return;
  }
  parts_.push_back({at, {at.begin(), at.end()}});
}

Result<void> Snapshot::restore() {
  for (const Part& part : parts_) std::ranges::copy(part.contents, part.at.begin());
  session_->pool()->restore();
  session_->told_levels() = told_;
  session_->host().untaint();
  return session_->arena().restore(arena_);
}

Result<void> Snapshot::release() {
  if (auto restored = restore(); !restored) return restored;
  session_->arena().remember(arena_);
  return {};
}

std::uint64_t Snapshot::bytes() const {
  std::uint64_t sum = session_->pool()->used();
  for (const Part& part : parts_) sum += part.at.size();
  return sum;
}

}  // namespace lockstep::hw::hosted
