// SPDX-License-Identifier: GPL-2.0-or-later
/// Addresses and page arithmetic: the nouns that every room shares.
#pragma once

#include <cstdint>

namespace lockstep {

/// Guest linear ("virtual") address, in bytes.
using Gva = std::uint64_t;
/// Guest physical address, in bytes.
using Gpa = std::uint64_t;
/// Guest frame number: a Gpa in units of 4 KiB pages.
using Gfn = std::uint64_t;
/// Address in the host memory that a program owns, in bytes from its start.
/// KVM calls it hva; a program cannot know where the host mapped its memory,
/// so every engine adds its own base.
using Hva = std::uint64_t;
/// Host frame number: an Hva in units of 4 KiB pages.
using Hfn = std::uint64_t;

inline constexpr unsigned page_shift = 12;
inline constexpr std::uint64_t page_size = 1ull << page_shift;
inline constexpr std::uint64_t page_mask = ~(page_size - 1);

constexpr Gfn gpa_to_gfn(Gpa gpa) { return gpa >> page_shift; }
constexpr Gpa gfn_to_gpa(Gfn gfn) { return gfn << page_shift; }

}  // namespace lockstep
