// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/program_rules.h"
#include "spec/text_encoding.h"
#include "spec/text_names.h"

namespace lockstep::spec {

namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }

/// Bytes that stand on one line and come back without loss.
bool is_line(std::string_view text) {
  if (text.find_first_of("\r\n") != std::string_view::npos) return false;
  if (!text.empty() && is_blank(text.back())) return false;
  return !text::find_bad_byte(text);
}

}  // namespace

Reason check_title(std::string_view title) {
  if (!is_line(title) || (!title.empty() && is_blank(title.front()))) {
    return "the title is not one line of text without blanks around it";
  }
  return std::nullopt;
}

Reason check_comments(const std::vector<std::string>& lines) {
  for (const auto& line : lines) {
    if (!is_line(line) || (!line.empty() && line.front() != '#')) {
      return "a comment is not one line of text that begins with `#`";
    }
  }
  return std::nullopt;
}

Reason check_behind(std::string_view comment) {
  if (!is_line(comment) || (!comment.empty() && comment.front() != '#')) {
    return "a comment is not one line of text that begins with `#`";
  }
  return std::nullopt;
}

Reason check_observation(const Observation& observation) {
  if (const auto* error = std::get_if<Errno>(&observation)) {
    if (error->number < 1 || error->number > text::most_errno) return "there is no such errno";
  }
  if (const auto* dirty = std::get_if<DirtyBitmap>(&observation)) {
    if (dirty->pages > text::most_bitmap_pages) return "the bitmap is larger than any slot";
    if (dirty->words.size() != (dirty->pages + 63) / 64) {
      return "the bitmap's words do not match its pages";
    }
    if (dirty->pages % 64 != 0 && dirty->words.back() >> (dirty->pages % 64) != 0) {
      return "the bitmap has bits beyond its pages";
    }
  }
  if (const auto* ring = std::get_if<DirtyPages>(&observation)) {
    for (std::size_t i = 0; i < ring->slots.size(); ++i) {
      const auto& slot = ring->slots[i];
      if (i > 0 && ring->slots[i - 1].id >= slot.id) return "the slots of the ring have no order";
      if (slot.words.empty() || slot.words.back() == 0) return "the ring names a slot for no page";
      if (slot.words.size() > text::most_bitmap_pages / 64) {
        return "the ring names pages beyond any slot";
      }
    }
  }
  return std::nullopt;
}

}  // namespace lockstep::spec
