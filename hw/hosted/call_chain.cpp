// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/call_chain.h"

#include <algorithm>
#include <utility>

namespace lockstep::hw::hosted {
namespace {

/// What of the chain is worth a reader's time.
constexpr std::size_t most_names = 7;

/// SDM "CALL - Call Procedure": E8 with a displacement of 32 bits, or FF /2 with
/// a register or memory operand.
bool behind_call(const Image& image, std::uint64_t address) {
  constexpr unsigned longest = 7;
  if (!image.contains(address) || !image.contains(address - longest)) return false;
  const auto* const code = reinterpret_cast<const std::uint8_t*>(address);
  if (code[-5] == 0xe8) return true;
  for (const int length : {2, 3, 4, 6, 7}) {
    if (code[-length] == 0xff && (code[-length + 1] & 0x38) == 0x10) return true;
  }
  return false;
}

}  // namespace

// The sanitizer knows nothing of the kernel's frames.
#if defined(__SANITIZE_ADDRESS__)
[[gnu::no_sanitize_address]]
#endif
std::size_t
callers(const Image& image, std::uint64_t stack, std::uint64_t end, std::span<std::uint64_t> out) {
  std::size_t count = 0;
  for (std::uint64_t at = stack & ~7ull; at < end && count < out.size(); at += 8) {
    const std::uint64_t word = *reinterpret_cast<const std::uint64_t*>(at);
    if (word == HOSTED_STACK_END) break;
    if (behind_call(image, word)) out[count++] = word;
  }
  return count;
}

std::string call_chain(const Image& image, std::span<const std::uint64_t> addresses) {
  std::string chain, last;
  std::size_t names = 0;
  for (const std::uint64_t address : addresses) {
    // The call may be the function's last instruction.
    std::string name = image.symbol_of(address - 1);
    name.resize(std::min(name.find('+'), name.size()));
    if (name.starts_with("0x") || name.starts_with("hosted_") || name == last) continue;
    chain += (names == 0 ? "called by " : ", ") + name;
    last = std::move(name);
    if (++names == most_names) break;
  }
  return chain;
}

}  // namespace lockstep::hw::hosted
