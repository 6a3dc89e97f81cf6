// SPDX-License-Identifier: GPL-2.0-or-later
/// The theorems, a file a subject.
#pragma once

#include <vector>

#include "smt/theorem.h"

namespace lockstep::smt {

std::vector<Theorem> permission_theorems();
std::vector<Theorem> leaf_theorems();
std::vector<Theorem> range_theorems();
std::vector<Theorem> role_theorems();
std::vector<Theorem> cache_theorems();
std::vector<Theorem> cache_protocol_theorems();
std::vector<Theorem> root_protocol_theorems();
std::vector<Theorem> fault_protocol_theorems();
std::vector<Theorem> reserved_bit_theorems();
std::vector<Theorem> access_track_theorems();
std::vector<Theorem> mmio_theorems();
std::vector<Theorem> shadow_geometry_theorems();

/// Every theorem, subject by subject.
const std::vector<Theorem>& theorems();

}  // namespace lockstep::smt
