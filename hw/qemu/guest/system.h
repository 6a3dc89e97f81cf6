// SPDX-License-Identifier: GPL-2.0-or-later
/// What the guest's kernel is asked for by its only program: file systems, sysctls,
/// modules, lines in the log.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "hw/qemu/messages.h"

namespace lockstep::hw::qemu::guest {

/// Mount what /sys, /proc and /dev are, and have the kernel stop at an oops and
/// print every line to its console. The first reason why that fails.
tl::expected<void, std::string> settle_in();

/// init_module(2) and delete_module(2). A module that is there already is no error; one that
/// is absent, or in use for seconds, is one to unload.
tl::expected<void, std::string> load_module(const LoadModule& module);
tl::expected<void, std::string> unload_module(std::string name);

/// One line into the kernel log, hence to its console.
void say(std::string_view line);

/// A short file of /proc or /sys; empty if it cannot be read.
std::string slurp(const std::string& path);
/// Whether the file took the text.
bool spill(const std::string& path, std::string_view text);

/// The device of the first port of the first virtio console; waits for it.
tl::expected<int, std::string> open_port();

}  // namespace lockstep::hw::qemu::guest
