// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/save.h"

#include <fmt/format.h>
#include <unistd.h>
#include <cstdint>
#include <fstream>
#include <system_error>

namespace lockstep::props {
namespace {

constexpr std::size_t columns = 72;

/// Break a comment into lines of at most `columns`.
void add_comment(std::vector<std::string>& lines, std::string_view text) {
  std::string line = "#";
  bool blank = true;
  while (!text.empty()) {
    const auto end = text.find(' ');
    auto word = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    while (!word.empty()) {
      const auto room = line.size() + 1 < columns ? columns - line.size() - 1 : 0;
      if (word.size() > room && !blank) {
        lines.push_back(line);
        line = "#  ";
        blank = true;
        continue;
      }
      const auto part = word.substr(0, room);
      line += ' ';
      line += part;
      blank = false;
      word.remove_prefix(part.size());
    }
  }
  if (!blank) lines.push_back(line);
}

std::string printable(std::string_view text) {
  std::string result;
  for (const char c : text) result += (c >= 0x20 && c < 0x7f) ? c : ' ';
  return result;
}

/// FNV-1a, 32 bits: names need no more.
std::uint32_t hash(std::string_view text) {
  std::uint32_t value = 2166136261u;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 16777619u;
  return value;
}

tl::expected<void, std::string> write_file(const std::filesystem::path& path,
                                           const std::string& text) {
  const auto temporary = path.string() + fmt::format(".{}.tmp", getpid());
  {
    std::ofstream out(temporary, std::ios::binary);
    out << text;
    out.flush();
    if (!out) return tl::unexpected(fmt::format("cannot write {}", temporary));
  }
  std::error_code error;
  std::filesystem::rename(temporary, path, error);
  if (error)
    return tl::unexpected(fmt::format("cannot rename to {}: {}", path.string(), error.message()));
  return {};
}

}  // namespace

Program annotated(const Program& program, const Finding& finding,
                  const std::vector<std::string>& provenance) {
  auto copy = program;
  copy.title = printable(finding.title);
  copy.header.clear();
  add_comment(copy.header, printable(fmt::format("{} {}: {}", finding.engine, name(finding.kind),
                                                 finding.title)));
  for (const auto& line : provenance) add_comment(copy.header, printable(line));
  if (finding.step && *finding.step < copy.steps.size()) {
    copy.steps.resize(*finding.step + 1);
    if (finding.unique) copy.steps.back().expected = finding.unique;
  }
  return copy;
}

std::string file_stem(const Finding& finding) {
  auto stem = fmt::format("{}-{}-{}-{:08x}", finding.engine, name(finding.kind),
                          finding.command_kind, hash(finding.key()));
  for (auto& c : stem) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.';
    if (!plain) c = '-';
  }
  return stem;
}

tl::expected<std::filesystem::path, std::string> save(const std::filesystem::path& directory,
                                                      const std::string& stem,
                                                      const Program& program) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    return tl::unexpected(fmt::format("cannot create {}: {}", directory.string(), error.message()));
  }
  const auto path = directory / (stem + ".lockstep");
  if (auto written = write_file(path, print(program)); !written) {
    return tl::unexpected(written.error());
  }
  return path;
}

tl::expected<std::filesystem::path, std::string> save_sequence(
    const std::filesystem::path& directory, const std::string& stem,
    std::span<const Program> programs) {
  const auto path = directory / stem;
  std::error_code error;
  std::filesystem::remove_all(path, error);
  for (std::size_t i = 0; i < programs.size(); ++i) {
    const auto saved = save(path, fmt::format("{:03}", i + 1), programs[i]);
    if (!saved) return saved;
  }
  return path;
}

}  // namespace lockstep::props
