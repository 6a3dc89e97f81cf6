// SPDX-License-Identifier: GPL-2.0-or-later
/// What a walk of the matrix showed, whoever walked.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "spec/x86/walk.h"

namespace lockstep::props {

/// What a walk showed. `load_gp`: the PDPTE registers could not be loaded.
struct WalkAnswer {
  enum class Kind : std::uint8_t { translated, page_fault, load_gp };
  Kind kind = Kind::translated;
  std::uint32_t code = 0;       ///< of the #PF
  Gpa gpa = 0;                  ///< of the byte accessed
  std::uint64_t page_size = 0;  ///< bytes
  spec::Combined rights;        ///< granted by the whole path, if translated
  unsigned last_level = 0;      ///< of the last entry that was read
  std::array<Gpa, 6> path{};    ///< gpa of each entry read from memory, by level
  bool operator==(const WalkAnswer&) const = default;
};

/// "ok gpa=0x45678568 size=0x1000 rw-user-x" or "#PF present user fetch".
std::string print(const WalkAnswer& answer);

struct BothAnswers {
  WalkAnswer spec;
  WalkAnswer impl;
};

}  // namespace lockstep::props
