// SPDX-License-Identifier: GPL-2.0-or-later
/// Host pages that a program gave more than one guest address.
#pragma once

#include <cstdint>
#include <vector>

#include "spec/vocabulary/address.h"

namespace lockstep::hw::hosted {

/// Whether a program gave one host page two guest addresses, at once or one after the
/// other: what KVM records of the first may outlive its slot.
class Aliases {
 public:
  void clear() { *this = {}; }
  /// A slot was added, moved or changed; `size` bytes, 0 if it was deleted.
  void add(Gpa gpa, Hva hva, std::uint64_t size);
  bool met() const { return met_; }
  /// Whether the host page of this guest page had another guest address, too; of a gfn that
  /// begins a huge page, that of any small one in it.
  bool shares(Gfn gfn) const;

 private:
  struct Mapped {
    Gpa gpa = 0;
    Hva hva = 0;
    std::uint64_t size = 0;
  };
  std::vector<Mapped> mapped_;
  bool met_ = false;
};

}  // namespace lockstep::hw::hosted
