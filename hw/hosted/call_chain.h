// SPDX-License-Identifier: GPL-2.0-or-later
/// Who called whom inside an image, when something was found there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "hw/hosted/image.h"

namespace lockstep::hw::hosted {

/// Return addresses into the image between two stack addresses, innermost first:
/// words behind an instruction that calls. Kernels keep no frame pointers, so a
/// stale word may name a function that has returned. Allocates nothing.
/// Returns how many were stored.
std::size_t callers(const Image& image, std::uint64_t stack, std::uint64_t end,
                    std::span<std::uint64_t> out);

/// "called by kvm_mmu_zap_all, kvm_vm_release": the functions at those addresses,
/// the shim's own and repetitions left out; empty if none is left.
std::string call_chain(const Image& image, std::span<const std::uint64_t> addresses);

}  // namespace lockstep::hw::hosted
