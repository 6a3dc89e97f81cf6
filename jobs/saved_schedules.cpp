// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/saved_schedules.h"

#include <fmt/format.h>

#include <fstream>

namespace lockstep::jobs {
namespace {

namespace schedule = props::schedule;

/// A line, broken at spaces to 72 columns.
std::string wrapped(const std::string& line) {
  std::string text;
  std::size_t from = 0;
  while (line.size() - from > 72) {
    auto end = line.rfind(' ', from + 72);
    if (end == std::string::npos || end <= from) break;
    text += line.substr(from, end - from) + "\n";
    from = end + 1;
  }
  return text + line.substr(from) + "\n";
}

std::string title_of(const schedule::System& system) {
  return wrapped(fmt::format("{}: {}", system.name, system.title));
}

std::string property_of(const schedule::System& system) {
  return wrapped(fmt::format("must hold: {}", system.property));
}

}  // namespace

std::filesystem::path schedule_path(const std::filesystem::path& folder, const std::string& stem) {
  return folder / (stem + ".schedule");
}

std::filesystem::path write_schedule(const std::filesystem::path& folder, const std::string& stem,
                                     const std::string& text) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const auto path = schedule_path(folder, stem);
  const auto part = std::filesystem::path(path).concat(".part");
  {
    std::ofstream file(part);
    file << text;
    if (!file.flush()) return {};
  }
  std::filesystem::rename(part, path, error);
  return error ? std::filesystem::path() : path;
}

std::string head_of(const schedule::System& system) {
  return title_of(system) + property_of(system);
}

std::string page_of(const schedule::Saved& saved, const schedule::Replayed& replayed) {
  std::string text = title_of(*saved.system);
  if (saved.defect != schedule::no_defect) {
    const auto& defect = saved.system->defects[saved.defect];
    text += wrapped(fmt::format("defect {}: {}", defect.name, defect.title));
  }
  text += property_of(*saved.system);
  text += columns(replayed.outcome, static_cast<unsigned>(saved.threads.size()));
  if (replayed.outcome.failure) {
    for (const auto& turn : saved.turns) text += fmt::format("  {}\n", print(turn));
  }
  return text;
}

std::string page_without_trace(std::string_view head, std::string_view saved,
                               std::string_view ended) {
  std::string text(head);
  for (std::size_t from = 0; from < saved.size();) {
    const auto end = std::min(saved.find('\n', from), saved.size());
    const auto line = saved.substr(from, end - from);
    if (line.starts_with("thread ") || line.starts_with("at ")) {
      text += fmt::format("  {}\n", line);
    }
    from = end + 1;
  }
  return text + fmt::format(">> {}\n", ended);
}

}  // namespace lockstep::jobs
