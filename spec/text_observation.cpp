// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/text_observation.h"

#include <fmt/format.h>

#include <limits>

namespace lockstep::spec::text {

namespace {

constexpr unsigned vector_ud = 6;
constexpr unsigned vector_gp = 13;

/// Whether a number stands at the position.
bool at_number(const Cursor& cursor) {
  return !cursor.word().empty() && cursor.word()[0] >= '0' && cursor.word()[0] <= '9';
}

bool parse_code(Cursor& cursor, std::uint32_t& code) {
  return cursor.number(code, "an error code");
}

bool parse_page_fault(Cursor& cursor, const Command& command, PageFault& out) {
  if (cursor.accept("present")) {
    out.code |= fault::present;
  } else {
    cursor.accept("not-present");
  }
  Options options(cursor);
  for (bool again = true; again;) {
    again = false;
    for (const auto& flag : fault_names) {
      if (!options.flag(flag.word)) continue;
      out.code |= flag.value;
      again = true;
    }
    if (options.key("bits")) {
      std::uint32_t bits = 0;
      if (!parse_code(cursor, bits)) return false;
      out.code |= bits;
      again = true;
    }
  }
  if (cursor.failed()) return false;
  const auto* access = std::get_if<Access>(&command);
  if (access != nullptr && !at_number(cursor)) {
    out.address = access->gva;
    return true;
  }
  return cursor.number(out.address, "the faulting address");
}

bool parse_mmio(Cursor& cursor, Mmio& out) {
  if (cursor.accept("write")) {
    out.write = true;
  } else if (!cursor.accept("read")) {
    return cursor.fail_listing("a direction");
  }
  Options options(cursor);
  for (;;) {
    if (options.key("gpa")) {
      if (!cursor.number(out.gpa, "a gpa")) return false;
    } else if (options.key("size")) {
      if (!cursor.number(out.size, "a size in bytes")) return false;
    } else if (options.key("value")) {
      if (!cursor.number(out.value, "a value")) return false;
    } else {
      break;
    }
  }
  if (!options.seen("gpa")) return cursor.fail("`gpa=` and an address");
  if (!options.seen("size")) return cursor.fail("`size=` and a number of bytes");
  if (out.write && !options.seen("value")) return cursor.fail("`value=` and what was written");
  return !cursor.failed();
}

bool parse_errno(Cursor& cursor, Errno& out) {
  if (at_number(cursor)) {
    std::uint64_t number = 0;
    if (!cursor.number(number, "an errno", most_errno)) return false;
    out.number = static_cast<int>(number);
    return true;
  }
  return cursor.choice(out.number, errno_names, "an errno such as `EINVAL`");
}

/// One page or a range `first-last`, all below `end`.
bool parse_pages(Cursor& cursor, std::uint64_t end, std::vector<std::uint64_t>& words) {
  const std::string_view word = cursor.word();
  const std::size_t dash = word.find('-');
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  bool good = parse_number(word.substr(0, dash), first) == NumberFault::none;
  last = first;
  if (dash != std::string_view::npos) {
    good = good && parse_number(word.substr(dash + 1), last) == NumberFault::none;
  }
  if (!good) return cursor.fail("a page, a range of pages such as `0x5-0x7`, or `}`");
  if (last < first || last >= end) {
    return cursor.fail(fmt::format("pages in order, below 0x{:x}", end));
  }
  if (words.size() <= last / 64) words.resize(last / 64 + 1);
  for (std::uint64_t page = first; page <= last; ++page) words[page / 64] |= 1ull << (page % 64);
  cursor.take_word();
  return true;
}

bool parse_dirty(Cursor& cursor, DirtyBitmap& out) {
  if (!cursor.accept("pages")) return cursor.fail_listing("the size of the bitmap");
  if (!cursor.expect_symbol("=")) return false;
  if (!cursor.number(out.pages, "a number of pages", most_bitmap_pages)) return false;
  out.words.assign((out.pages + 63) / 64, 0);
  if (!cursor.expect_symbol("{")) return false;
  while (!cursor.accept_symbol("}")) {
    if (!parse_pages(cursor, out.pages, out.words)) return false;
  }
  return true;
}

bool parse_ring(Cursor& cursor, DirtyPages& out) {
  if (cursor.accept("empty")) return true;
  while (cursor.accept("slot")) {
    auto& slot = out.slots.emplace_back();
    if (!cursor.number(slot.id, "the number of a slot")) return false;
    if (out.slots.size() > 1 && out.slots[out.slots.size() - 2].id >= slot.id) {
      return cursor.fail("slots in order");
    }
    if (!cursor.expect_symbol("{")) return false;
    do {
      if (!parse_pages(cursor, most_bitmap_pages, slot.words)) return false;
    } while (!cursor.accept_symbol("}"));
  }
  if (out.slots.empty()) return cursor.fail_listing("what the rings held");
  return !cursor.failed();
}

bool parse_translation(Cursor& cursor, Translation& out) {
  if (cursor.accept("invalid")) return true;
  Gpa gpa = 0;
  if (!cursor.number(gpa, "a gpa")) return false;
  out.gpa = gpa;
  return true;
}

bool parse_exception(Cursor& cursor, unsigned vector, Exception& out) {
  out.vector = vector;
  return !at_number(cursor) || parse_code(cursor, out.code);
}

}  // namespace

bool parse_observation(Cursor& cursor, const Command& command, Observation& observation) {
  if (cursor.accept("ok")) {
    observation = Done{};
    return true;
  }
  if (cursor.accept("value")) {
    return cursor.number(observation.emplace<Value>().value, "a value");
  }
  if (cursor.accept_exception("#PF")) {
    return parse_page_fault(cursor, command, observation.emplace<PageFault>());
  }
  if (cursor.accept("mmio")) return parse_mmio(cursor, observation.emplace<Mmio>());
  if (cursor.accept("errno")) return parse_errno(cursor, observation.emplace<Errno>());
  if (cursor.accept("dirty")) return parse_dirty(cursor, observation.emplace<DirtyBitmap>());
  if (cursor.accept("ring")) return parse_ring(cursor, observation.emplace<DirtyPages>());
  if (cursor.accept("gpa")) return parse_translation(cursor, observation.emplace<Translation>());
  if (cursor.accept_exception("#GP")) {
    return parse_exception(cursor, vector_gp, observation.emplace<Exception>());
  }
  if (cursor.accept_exception("#UD")) {
    return parse_exception(cursor, vector_ud, observation.emplace<Exception>());
  }
  if (cursor.accept("exception")) {
    auto& exception = observation.emplace<Exception>();
    return cursor.number(exception.vector, "a vector") && parse_code(cursor, exception.code);
  }
  if (cursor.accept("internal-error")) {
    return cursor.number(observation.emplace<InternalError>().suberror, "a suberror");
  }
  if (cursor.accept("livelock")) {
    return cursor.number(observation.emplace<Livelock>().faults, "a number of faults");
  }
  if (cursor.accept("unexpected")) {
    return cursor.quoted(observation.emplace<Unexpected>().what);
  }
  return cursor.fail_listing("an observation");
}

}  // namespace lockstep::spec::text
