// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/build/line_coverage.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include "hw/hosted/build/image_code.h"
#include "hw/kernels/cache.h"
#include "hw/kernels/process.h"

namespace lockstep::hw::hosted {
namespace {

namespace fs = std::filesystem;
constexpr std::uint64_t call_bytes = 5;

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    const auto begin = line.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return words;
    line.remove_prefix(begin);
    const auto end = line.find_first_of(" \t");
    words.push_back(line.substr(0, end));
    if (end == std::string_view::npos) return words;
    line.remove_prefix(end);
  }
}

template <typename Number>
std::optional<Number> number(std::string_view word, int base) {
  if (base == 16 && word.starts_with("0x")) word.remove_prefix(2);
  Number value = 0;
  const auto [rest, error] = std::from_chars(word.data(), word.data() + word.size(), value, base);
  if (error != std::errc{} || rest != word.data() + word.size()) return std::nullopt;
  return value;
}

std::string relative(std::string_view path, const fs::path& tree) {
  const auto normal = fs::path(path).lexically_normal().string();
  const auto prefix = tree.string() + "/";
  return normal.starts_with(prefix) ? normal.substr(prefix.size()) : normal;
}

std::string_view base_name(std::string_view path) {
  return path.substr(path.find_last_of('/') + 1);
}

kernels::Result<kernels::Outcome> output_of(std::vector<std::string> words) {
  kernels::Process process;
  process.words = std::move(words);
  return kernels::run_or_fail(process);
}

kernels::Result<std::uint64_t> counter_address(const fs::path& image) {
  const auto listed = output_of({"nm", image.string()});
  if (!listed) return tl::unexpected(listed.error());
  constexpr std::string_view symbol = " T __sanitizer_cov_trace_pc\n";
  const auto at = listed->out.find(symbol);
  const auto begin = at == std::string::npos ? at : listed->out.rfind('\n', at);
  const auto first = begin == std::string::npos ? 0 : begin + 1;
  const auto address = at == std::string::npos
                           ? std::nullopt
                           : number<std::uint64_t>(listed->out.substr(first, at - first), 16);
  if (address) return *address;
  return kernels::input_error(
      fmt::format("{}: not an image of the flavour 'coverage'", image.string()));
}

}  // namespace

std::vector<LineRow> parse_line_rows(std::string_view text, const fs::path& tree) {
  std::vector<LineRow> rows;
  std::string unit;  // the file of the compile unit: what a sequence begins with
  std::string file;
  std::uint64_t function = 0;
  bool in_sequence = false;
  while (!text.empty()) {
    const auto newline = text.find('\n');
    auto line = text.substr(0, newline);
    text = newline == std::string_view::npos ? "" : text.substr(newline + 1);
    if (line.ends_with(':') && line.find('/') != std::string_view::npos) {
      const bool begins = line.starts_with("CU: ");
      if (begins) line.remove_prefix(4);
      file = relative(line.substr(0, line.size() - 1), tree);
      if (begins) unit = file;
      continue;
    }
    const auto words = words_of(line);
    if (words.size() < 3) continue;
    const auto address = number<std::uint64_t>(words[2], 16);
    if (!address || !words[2].starts_with("0x")) continue;
    if (words[1] == "-") {
      in_sequence = false;
      continue;
    }
    const auto row = number<unsigned>(words[1], 10);
    if (!row) continue;
    if (!in_sequence) function = *address;
    in_sequence = true;
    if (words.back() != "x") continue;
    if (base_name(file) != words[0] && base_name(unit) == words[0]) file = unit;
    rows.push_back({*address, function, file, *row});
  }
  std::ranges::stable_sort(rows, {}, &LineRow::address);
  return rows;
}

std::vector<std::uint64_t> calls_to(std::span<const std::uint8_t> code, std::uint64_t begin,
                                    std::uint64_t target) {
  std::vector<std::uint64_t> calls;
  for (std::size_t at = 0; at + call_bytes <= code.size(); ++at) {
    if (code[at] != 0xe8) continue;
    std::int32_t distance = 0;
    std::memcpy(&distance, &code[at + 1], sizeof distance);
    const auto next = begin + at + call_bytes;
    if (next + static_cast<std::uint64_t>(std::int64_t{distance}) == target) {
      calls.push_back(begin + at);
    }
  }
  return calls;
}

LineCoverage::LineCoverage(const std::vector<LineRow>& rows, std::span<const std::uint64_t> calls)
    : blocks_(calls.size()) {
  for (const auto& row : rows) {
    const auto after = std::ranges::upper_bound(calls, row.address);
    if (after == calls.begin()) continue;
    const auto call = *(after - 1);
    if (call < row.function) continue;
    auto& sites = lines_[row.file][row.line];
    if (sites.empty() || sites.back() != call + call_bytes) sites.push_back(call + call_bytes);
  }
}

std::vector<std::uint64_t> LineCoverage::blocks(std::string_view file, unsigned line) const {
  const auto lines = lines_.find(file);
  if (lines == lines_.end()) return {};
  const auto sites = lines->second.find(line);
  return sites == lines->second.end() ? std::vector<std::uint64_t>{} : sites->second;
}

LineCoverage::State LineCoverage::state(std::string_view file, unsigned line,
                                        const Hit& hit) const {
  const auto lines = lines_.find(file);
  if (lines == lines_.end()) return State::no_code;
  const auto sites = lines->second.find(line);
  if (sites == lines->second.end()) return State::no_code;
  return std::ranges::any_of(sites->second, hit) ? State::hit : State::missed;
}

kernels::Result<LineCoverage> LineCoverage::read(const fs::path& image, const fs::path& tree) {
  const auto target = counter_address(image);
  if (!target) return tl::unexpected(target.error());
  const auto file = kernels::read_file(image);
  if (!file) return tl::unexpected(file.error());
  std::vector<std::uint64_t> calls;
  for (const auto& part : code_of(*file)) {
    const auto found = calls_to(part.bytes, part.begin, *target);
    calls.insert(calls.end(), found.begin(), found.end());
  }
  std::ranges::sort(calls);
  const auto dumped = output_of({"readelf", "-wL", "-W", image.string()});
  if (!dumped) return tl::unexpected(dumped.error());
  return LineCoverage(parse_line_rows(dumped->out, tree), calls);
}

}  // namespace lockstep::hw::hosted
