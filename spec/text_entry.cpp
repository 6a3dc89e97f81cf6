// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/text_entry.h"

#include <fmt/format.h>

#include <iterator>

namespace lockstep::spec::text {

namespace {

constexpr std::uint64_t address_field(PagingMode mode) {
  return mode == PagingMode::bits32 ? entry::address32 : entry::address;
}

/// Bits that no word names: what bits= may hold.
constexpr std::uint64_t nameless_bits(PagingMode mode) {
  std::uint64_t named = entry::present | entry::writable | entry::user | address_field(mode);
  for (const auto& flag : entry_flag_names) named |= flag.value;
  if (mode == PagingMode::bits32) return ~named & 0xffff'ffffull;
  return ~(named | entry::protection_key | entry::no_execute);
}

}  // namespace

bool parse_rights(Cursor& cursor, PagingMode mode, std::uint64_t& bits) {
  if (cursor.failed()) return false;
  const std::string_view word = cursor.word();
  const bool narrow = mode == PagingMode::bits32;
  const auto legal = [word](std::size_t i, char letter) {
    return word[i] == letter || word[i] == '-';
  };
  if (word.size() != 4 || !legal(0, 'r') || !legal(1, 'w') || !legal(2, 'x') || !legal(3, 'u')) {
    return cursor.fail("rights such as `rwxu` or `r-x-`");
  }
  if (narrow && word[2] != 'x') return cursor.fail("rights with `x` (32-bit paging has no NX)");
  if (word[0] == 'r') bits |= entry::present;
  if (word[1] == 'w') bits |= entry::writable;
  if (word[2] == '-') bits |= entry::no_execute;
  if (word[3] == 'u') bits |= entry::user;
  cursor.take_word();
  return true;
}

bool parse_entry_option(Cursor& cursor, Options& options, PagingMode mode, std::uint64_t& bits) {
  for (const auto& flag : entry_flag_names) {
    if (options.flag(flag.word)) {
      bits |= flag.value;
      return true;
    }
  }
  if (mode != PagingMode::bits32 && options.key("pk")) {
    std::uint64_t key = 0;
    if (!cursor.number(key, "a protection key", 15)) return false;
    bits |= key << entry::protection_key_shift;
    return true;
  }
  if (options.key("bits")) {
    std::uint64_t rest = 0;
    const std::uint64_t nameless = nameless_bits(mode);
    std::uint64_t peeked = 0;
    if (parse_number(cursor.word(), peeked) == NumberFault::none && (peeked & ~nameless) != 0) {
      return cursor.fail(fmt::format("bits that have no word of their own, of 0x{:x}", nameless));
    }
    if (!cursor.number(rest, "entry bits")) return false;
    bits |= rest;
    return true;
  }
  return false;
}

bool parse_entry(Cursor& cursor, PagingMode mode, std::uint64_t& value) {
  const std::uint64_t field = address_field(mode);
  std::uint64_t address = 0;
  if (parse_number(cursor.word(), address) == NumberFault::none && (address & ~field) != 0) {
    return cursor.fail(fmt::format("the address field of an entry, of 0x{:x}", field));
  }
  if (!cursor.number(address, "the address field of an entry", field)) return false;
  value = address;
  if (address == 0 && (cursor.at_line_end() || cursor.at_comment() ||
                       (cursor.word().empty() && !cursor.at_end()))) {
    return true;
  }
  if (!parse_rights(cursor, mode, value)) return false;
  Options options(cursor);
  while (parse_entry_option(cursor, options, mode, value)) {
  }
  return !cursor.failed();
}

void print_rights(std::string& out, PagingMode mode, std::uint64_t bits) {
  const bool executable = mode == PagingMode::bits32 || (bits & entry::no_execute) == 0;
  out += (bits & entry::present) != 0 ? 'r' : '-';
  out += (bits & entry::writable) != 0 ? 'w' : '-';
  out += executable ? 'x' : '-';
  out += (bits & entry::user) != 0 ? 'u' : '-';
}

void print_entry_options(std::string& out, PagingMode mode, std::uint64_t bits) {
  for (const auto& flag : entry_flag_names) {
    if ((bits & flag.value) == 0) continue;
    out += ' ';
    out += flag.word;
  }
  if (mode != PagingMode::bits32 && (bits & entry::protection_key) != 0) {
    fmt::format_to(std::back_inserter(out), " pk={}",
                   (bits & entry::protection_key) >> entry::protection_key_shift);
  }
  if (const std::uint64_t rest = bits & nameless_bits(mode); rest != 0) {
    fmt::format_to(std::back_inserter(out), " bits=0x{:x}", rest);
  }
}

void print_entry(std::string& out, PagingMode mode, std::uint64_t value) {
  fmt::format_to(std::back_inserter(out), "0x{:x}", value & address_field(mode));
  if (value == 0) return;
  out += ' ';
  print_rights(out, mode, value);
  print_entry_options(out, mode, value);
}

}  // namespace lockstep::spec::text
