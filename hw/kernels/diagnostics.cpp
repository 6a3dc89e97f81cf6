// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/diagnostics.h"

#include <vector>

namespace lockstep::hw::kernels {
namespace {

constexpr std::size_t quoted_lines = 6;

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto newline = text.find('\n');
    lines.push_back(text.substr(0, newline));
    text = newline == std::string_view::npos ? "" : text.substr(newline + 1);
  }
  return lines;
}

/// `file:line: error: …` of GCC and Clang, `file:line: Error: …` of the assembler.
bool is_error(std::string_view line) {
  for (const std::string_view mark : {": error: ", ": fatal error: ", ": Error: "}) {
    if (line.find(mark) != std::string_view::npos) return true;
  }
  return false;
}

bool is_echo(std::string_view line) {
  const auto blank = line.find_first_not_of(" \t") == std::string_view::npos;
  return blank || line.starts_with("make");
}

std::string without(std::string_view line, const std::string& prefix) {
  std::string text(line);
  for (auto at = text.find(prefix); at != std::string::npos; at = text.find(prefix, at)) {
    text.erase(at, prefix.size());
  }
  return text;
}

}  // namespace

std::string first_error(std::string_view said, const std::filesystem::path& source) {
  const auto prefix = source.string() + "/";
  const auto lines = lines_of(said);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (!is_error(lines[i])) continue;
    std::string text = without(lines[i], prefix);
    // The compiler indents what it quotes from the source.
    for (std::size_t j = i + 1; j < lines.size() && j <= i + quoted_lines; ++j) {
      if (!lines[j].starts_with(' ')) break;
      text += "\n" + without(lines[j], prefix);
    }
    return text;
  }
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    if (!is_echo(*line)) return without(*line, prefix);
  }
  return lines.empty() ? "" : std::string(lines.back());
}

std::string line_about(std::string_view said, std::string_view words) {
  const auto at = said.find(words);
  if (at == std::string_view::npos) return {};
  const auto before = said.substr(0, at).rfind('\n');
  const auto begin = before == std::string_view::npos ? 0 : before + 1;
  return std::string(said.substr(begin, said.find('\n', at) - begin));
}

std::string missing_package(std::string_view said) {
  constexpr std::pair<std::string_view, std::string_view> marks[] = {
      {"gelf.h: No such file", "libelf-dev"},
      {"libelf.h: No such file", "libelf-dev"},
      {"openssl/opensslv.h: No such file", "libssl-dev"},
      {"flex: not found", "flex"},
      {"bison: not found", "bison"},
      {"bc: not found", "bc"},
      {"gcc: not found", "gcc"},
      {"perl: not found", "perl"},
      {"python3: not found", "python3"},
  };
  for (const auto& [mark, package] : marks) {
    if (said.find(mark) != std::string_view::npos) return std::string(package);
  }
  return {};
}

}  // namespace lockstep::hw::kernels
