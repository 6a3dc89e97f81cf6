// SPDX-License-Identifier: GPL-2.0-or-later
/// Any bytes as mail: what comes out as a patch must be one that parse_patch()
/// reads or refuses, and repairs must stay within the tree. For libFuzzer.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "hw/kernels/changed_lines.h"
#include "hw/kernels/patch_text.h"
#include "jobs/review/diff_text.h"
#include "jobs/review/facts.h"
#include "jobs/review/repair.h"
#include "jobs/review/submission.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lockstep;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto made = jobs::review::arrange(jobs::review::patches_in(text, "fuzz"));
  if (!made) return 0;
  if (made->patches.empty()) std::abort();
  for (const auto& patch : made->patches) {
    const auto again = jobs::review::extract_diff(patch.diff, false, false);
    // What was taken out once is taken out whole.
    if (!patch.diff.empty() && again.diff != patch.diff) std::abort();
    static_cast<void>(hw::kernels::parse_patch(patch.diff));
    static_cast<void>(
        jobs::review::facts_of(patch.diff, [](const std::string&) { return std::string(); }));
    if (patch.diff.empty()) {
      const auto repaired = jobs::review::repair(patch.damaged, "/no/such/tree");
      if (!repaired.diff.empty()) std::abort();
    }
  }
  return 0;
}
