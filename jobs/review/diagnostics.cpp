// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/diagnostics.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "jobs/review/lines.h"

namespace lockstep::jobs::review {
namespace {

namespace fs = std::filesystem;

/// "FILE:12:5: error: text" in its parts.
std::optional<Diagnostic> parse(std::string_view line, const fs::path& tree,
                                const fs::path& folder) {
  Diagnostic made;
  std::string_view mark;
  auto at = std::string_view::npos;
  for (const std::string_view word : {": fatal error: ", ": error: ", ": Error: ", ": warning: "}) {
    at = line.find(word);
    if (at == std::string_view::npos) continue;
    mark = word;
    break;
  }
  if (at == std::string_view::npos) return std::nullopt;
  made.error = mark != ": warning: ";
  made.text = line.substr(at + mark.size());
  auto place = line.substr(0, at);
  const auto colon = place.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto number = place.substr(colon + 1);
  const auto read = std::from_chars(number.data(), number.data() + number.size(), made.line);
  if (read.ec != std::errc()) return std::nullopt;
  fs::path file(place.substr(0, colon));
  if (file.is_relative()) file = folder / file;
  const auto normal = file.lexically_normal().string();
  const auto prefix = tree.lexically_normal().string() + "/";
  made.file = normal.starts_with(prefix) ? normal.substr(prefix.size()) : normal;
  return made;
}

bool brings(const std::vector<hw::kernels::ChangedLines>& changed, const Diagnostic& seen) {
  return std::ranges::any_of(changed, [&](const auto& file) {
    return file.file == seen.file && std::ranges::find(file.added, seen.line) != file.added.end();
  });
}

}  // namespace

std::vector<Diagnostic> parse_diagnostics(std::string_view said, const fs::path& tree,
                                          const fs::path& folder,
                                          const std::vector<hw::kernels::ChangedLines>& changed) {
  std::vector<Diagnostic> all;
  for (const auto line : lines_of(said)) {
    auto made = parse(line, tree, folder);
    if (!made) continue;
    made->at_patch = brings(changed, *made);
    // A header complains once for each file that includes it.
    if (std::ranges::find(all, *made) == all.end()) all.push_back(*std::move(made));
  }
  std::ranges::stable_sort(all, [](const Diagnostic& a, const Diagnostic& b) {
    if (a.error != b.error) return a.error;
    return a.at_patch && !b.at_patch;
  });
  return all;
}

std::string print(const Diagnostic& diagnostic) {
  return fmt::format("{}:{}: {}: {}", diagnostic.file, diagnostic.line,
                     diagnostic.error ? "error" : "warning", diagnostic.text);
}

}  // namespace lockstep::jobs::review
