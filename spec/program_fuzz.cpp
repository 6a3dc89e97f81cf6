// SPDX-License-Identifier: GPL-2.0-or-later
/// libFuzzer target: program text is untrusted. What parses must print and
/// parse back; nothing may crash, whatever the rules think of the program.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "spec/program.h"
#include "spec/text_names.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto program = lockstep::parse(text);
  if (!program) {
    const auto message = program.error().message("input", text);
    require(!message.empty() && !program.error().expected.empty());
    return 0;
  }
  const auto printed = lockstep::print(*program);
  if (printed.size() <= lockstep::spec::text::most_bytes) {
    const auto again = lockstep::parse(printed);
    require(again.has_value() && *again == *program);
    require(lockstep::print(*again) == printed);
  }
  const auto illegal = lockstep::validate(*program);
  const auto lowered = lockstep::lower(*program);
  if (!illegal) {
    require(lowered.has_value() && lowered->steps.size() == lowered->origin.size());
  }
  static_cast<void>(lockstep::needs(*program));
  return 0;
}
