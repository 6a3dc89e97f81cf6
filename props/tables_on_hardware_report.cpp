// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "props/tables_on_hardware.h"

namespace lockstep::props {

std::string text_report(const TablesResult& result, std::string_view processor) {
  std::string text;
  for (const auto& found : result.findings) {
    text += fmt::format("{}\n{}\n", found.finding.title, side_by_side(found.finding));
  }
  for (const auto& [reason, programs] : result.skipped) {
    text += fmt::format("  skipped {} programs: {}\n", programs, reason);
  }
  text += fmt::format(
      "{}: tables of {} programs ({} pages), {} accesses: {} got at memory, {} page\n"
      "faults, {} of them at reserved bits; canary {}; seed {}, {:.1f} s\n",
      processor, result.programs, result.tables, result.accesses, result.reached_memory,
      result.faults, result.reserved, result.canary_found ? "found" : "not found", result.seed,
      result.seconds);
  if (const auto fixed = result.reached.find("access pf_fixed"); fixed != result.reached.end()) {
    text += fmt::format("  {} accesses faulted on real hardware and were fixed by KVM\n",
                        fixed->second);
  }
  return text;
}

}  // namespace lockstep::props
