// SPDX-License-Identifier: GPL-2.0-or-later
/// Schedules as files, and as pages for people.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "props/schedule/saved.h"

namespace lockstep::jobs {

/// The file of that stem.
std::filesystem::path schedule_path(const std::filesystem::path& folder, const std::string& stem);

/// Write the text as `stem`.schedule, whole; empty if it could not be written.
std::filesystem::path write_schedule(const std::filesystem::path& folder, const std::string& stem,
                                     const std::string& text);

/// What a system is and what must hold: how each page begins.
std::string head_of(const props::schedule::System& system);

/// A saved schedule as a page: what runs, what happened in columns, what is wrong.
std::string page_of(const props::schedule::Saved& saved, const props::schedule::Replayed& replayed);

/// The page of one that nobody saw come back: what runs and in what order, as its text says,
/// and how it ended.
std::string page_without_trace(std::string_view head, std::string_view saved,
                               std::string_view ended);

}  // namespace lockstep::jobs
