// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/theorems/access_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace lockstep::smt {
namespace {

std::string rights_text(std::uint64_t value, bool narrow) {
  const bool executable = narrow || (value & entry::no_execute) == 0;
  return fmt::format("r{}{}{}", (value & entry::writable) != 0 ? 'w' : '-', executable ? 'x' : '-',
                     (value & entry::user) != 0 ? 'u' : '-');
}

/// `v0 cpl3 write 0x0 = 0x1`, as the counterexample says.
std::string attempt_text(const Assignment& found, std::uint64_t gva) {
  const bool write = flag_of(found, "write"), fetch = flag_of(found, "fetch"),
             user = flag_of(found, "user");
  const bool ac = flag_of(found, "ac") && !user && !fetch;
  return fmt::format("v0 cpl{} {} 0x{:x}{}{}", user ? 3 : 0,
                     write   ? "write"
                     : fetch ? "fetch"
                             : "read",
                     gva, write ? " = 0x1" : "", ac ? " ac" : "");
}

}  // namespace

std::uint64_t value_of(const Assignment& found, const std::string& name) {
  const auto known = found.find(name);
  return known == found.end() ? 0 : known->second;
}

std::string fault_text(std::uint64_t code, std::uint64_t gva) {
  std::string text = (code & fault::present) != 0 ? "#PF present" : "#PF not-present";
  const std::pair<std::uint32_t, const char*> words[] = {{fault::write, " write"},
                                                         {fault::user, " user"},
                                                         {fault::reserved, " rsvd"},
                                                         {fault::fetch, " fetch"},
                                                         {fault::protection_key, " pk"}};
  for (const auto& [bit, word] : words) {
    if ((code & bit) != 0) text += word;
  }
  return text + fmt::format(" 0x{:x}", gva);
}

std::string access_program(const std::string& title, const Assignment& found, const Path& path) {
  const auto on = [&](const char* name) { return flag_of(found, name); };
  const bool narrow = on("mode.32-bit"), wide = on("mode.long"), nx = on("efer.nx");
  const bool write = on("write"), fetch = on("fetch"), user = on("user");
  const std::size_t levels = wide ? 5 : 2;
  bool user_page = true;
  for (std::size_t i = 0; i < std::min(levels, path.size()); ++i) {
    user_page = user_page && (path[i] & entry::user) != 0;
  }
  const std::uint64_t leaf_key =
      path.empty() ? 0 : (path[0] & entry::protection_key) >> entry::protection_key_shift;
  // KVM has keys under two-dimensional paging alone, where hardware judges; where
  // they decide nothing, shadow paging asks the walker.
  const bool keys = wide && on("cr4.pke") && user_page && !fetch &&
                    ((value_of(found, "pkru") >> (2 * leaf_key)) & 3) != 0;
  // Where rights or SMAP deny it as well, hardware does, and KVM is not asked about a key.
  const bool smap = on("cr4.smap") && !keys;
  std::string text = fmt::format("lockstep 1\ntitle  {}\nconfig paging={} mmu={}\n", title,
                                 narrow ? "32-bit"
                                 : wide ? "5-level"
                                        : "pae",
                                 keys ? "tdp" : "shadow");
  text += fmt::format("config cr0.wp={:d} efer.nx={:d} cr4.smep={:d} cr4.smap={:d}{}\n",
                      on("cr0.wp"), nx, on("cr4.smep"), smap, keys ? " cr4.pke=1" : "");
  text += "slot 0 add gpa=0x0 size=0x400000\nmap 0x0 gpa=0x200000 rwxu\n";

  // What hardware lets through to memory KVM never sees: it walks, keys and all, where
  // there is no slot.
  const std::uint64_t page = keys ? 0x40000000 : 0x200000;
  // `map` takes tables from 0x10000 up, the highest first; PAE's root has no rights.
  static constexpr const char* names[] = {"pt", "pd", "pdpt", "pml4", "pml5"};
  const std::size_t below_root = narrow || wide ? levels - 1 : levels;
  spec::Grant<bool> grant = {true, true, true};
  std::uint64_t key = 0;
  for (std::size_t i = 0; i < std::min(levels, path.size()); ++i) {
    // Set without EFER.NX the bit is reserved: not a question of rights.
    std::uint64_t value = nx ? path[i] : path[i] & ~entry::no_execute;
    if (keys) value |= entry::writable;
    grant = spec::combine<std::uint64_t>(grant, value, !narrow);
    if (i == 0 && keys) key = leaf_key;
    const auto table = [&](std::size_t level) {
      return level >= below_root ? 0x1000 : 0x10000 + 0x1000 * (below_root - 1 - level);
    };
    text += fmt::format("entry {} 0x{:x}[0] = 0x{:x} {}{}\n", names[i], table(i),
                        i == 0 ? page : table(i - 1), rights_text(value, narrow),
                        i == 0 && key != 0 ? fmt::format(" pk={}", key) : "");
  }
  if (keys) text += fmt::format("v0 pkru 0x{:x}\n", value_of(found, "pkru"));

  const spec::RightsControl<bool> control = {on("cr0.wp"), on("cr4.smep"), smap, keys, nx};
  const auto code = spec::access_fault<std::uint64_t>(
      control, nx && !narrow, {write, fetch, user, on("ac")}, grant, value_of(found, "pkru"), key);
  text += attempt_text(found, 0) + " -> ";
  if (code != 0) return text + fault_text(code, 0) + "\n";
  if (keys) {
    return text + fmt::format("mmio {} gpa=0x{:x} size=8{}\n", write ? "write" : "read", page,
                              write ? " value=0x1" : "");
  }
  if (write) return text + "ok\n";
  if (fetch) return text + "value 0x200\n";
  return text + fmt::format("value 0x{:x}\n", narrow ? 0x200b8 : 0xcccccc00000200b8);
}

std::string fault_program(const std::string& title, const Assignment& found, bool reserved) {
  const auto on = [&](const char* name) { return flag_of(found, name); };
  const bool narrow = on("mode.32-bit"), wide = on("mode.long"), nx = on("efer.nx");
  const char* paging = narrow ? "32-bit" : wide ? "5-level" : "pae";
  std::string text = fmt::format(
      "lockstep 1\ntitle  {}\nconfig paging={} mmu=shadow\n"
      "config cr0.wp={:d} efer.nx={:d} cr4.smep={:d} cr4.smap={:d}{}\n"
      "slot 0 add gpa=0x0 size=0x400000\nmap 0x0 gpa=0x200000 rwxu\n",
      title, paging, on("cr0.wp"), nx, on("cr4.smep"), on("cr4.smap"), narrow ? " cr4.pse=1" : "");
  if (reserved) {
    // Bit 21 of a 4-MByte page; an address bit that 40 bits of address lack.
    text += narrow ? "entry pd 0x1000[0] = 0x200000 rwxu ps\n"
                   : fmt::format("entry pt 0x{:x}[0] = 0x200000200000 rwxu\n",
                                 wide ? 0x13000 : 0x11000);
  }
  const std::uint64_t gva = reserved ? 0 : 0x1000;
  const auto code = spec::error_code<std::uint64_t>(
      {on("write"), on("fetch"), on("user"), on("ac")}, on("cr4.smep"), nx && !narrow, reserved,
      reserved, /*key=*/false);
  return text + attempt_text(found, gva) + " -> " +
         fault_text(static_cast<std::uint64_t>(code), gva) + "\n";
}

std::string quadrant_program(const Assignment& found) {
  const auto at = value_of(found, "gva") & 0xffff'f000;
  // Entries of the engine, and page 0 of the linear space, stay as they are.
  const std::uint64_t base = 0x400000 + (at & 0x3ff000);
  const std::uint64_t other = base ^ 0x200000;
  return fmt::format(
      "lockstep 1\ntitle  two halves of a table of 4-byte entries\n"
      "config paging=32-bit mmu=shadow\nslot 0 add gpa=0x0 size=0x400000\n"
      "map 0x{0:x} gpa=0x200000 rwxu\nmap 0x{1:x} gpa=0x201000 rwxu\n"
      "v0 cpl3 read 0x{0:x} -> value 0x200b8\nv0 cpl3 read 0x{1:x} -> value 0x201b8\n"
      "v0 cpl3 read 0x{0:x} -> value 0x200b8\n",
      base, other);
}

}  // namespace lockstep::smt
