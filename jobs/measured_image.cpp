// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/measured_image.h"

#include "hw/hosted/build/image_build.h"
#include "hw/kernels/changed_lines.h"

namespace lockstep::jobs {
namespace {

namespace hosted = hw::hosted;
namespace kernels = hw::kernels;
using LineState = hosted::LineCoverage::State;

/// More than the code of an image.
constexpr std::uint64_t code_bytes = 8ull << 20;

/// Of removed lines without code of their own, as calls of inlined functions:
/// what the nearest lines with code say, if those before and after agree.
std::optional<bool> around(const kernels::Mutation& mutation, const Measured& base) {
  constexpr unsigned reach = 4;
  std::optional<bool> answer;
  for (const auto& file : kernels::changed_lines(mutation.patch)) {
    for (const auto line : file.removed) {
      auto before = LineState::no_code;
      auto after = LineState::no_code;
      for (unsigned i = 1; i <= reach; ++i) {
        if (before == LineState::no_code) before = base.state(file.file, line - i);
        if (after == LineState::no_code) after = base.state(file.file, line + i);
      }
      if (before != after || before == LineState::no_code) continue;
      answer = answer.value_or(false) || before == LineState::hit;
    }
  }
  return answer;
}

}  // namespace

LineState Measured::state(const std::string& file, unsigned line) const {
  if (!lines) return LineState::no_code;
  return lines->state(file, line, [this](std::uint64_t at) { return coverage->hit(at); });
}

kernels::Result<Measured> measure(const kernels::Cache& cache, const kernels::Source& source,
                                  const std::string& flavour, const kernels::Progress& progress) {
  const hosted::ImageOptions options{.flavour = flavour.empty() ? "coverage" : flavour};
  const auto image = hosted::build_image(cache, source, options, progress);
  if (!image) return tl::unexpected(image.error());
  if (!flavour.empty()) return Measured{*image, nullptr, std::nullopt};
  auto lines = hosted::LineCoverage::read(*image, source.path);
  if (!lines) return tl::unexpected(lines.error());
  auto coverage = hosted::Coverage::create(hosted::image_address(options.place), code_bytes);
  if (!coverage) return kernels::machine_error(coverage.error().message);
  return Measured{*image, std::move(*coverage), *std::move(lines)};
}

std::optional<bool> reached(const kernels::Mutation& mutation, const Measured& base,
                            const Measured& mutated) {
  bool any_code = false;
  bool any_hit = false;
  const auto look = [&](LineState state) {
    any_code = any_code || state != LineState::no_code;
    any_hit = any_hit || state == LineState::hit;
  };
  for (const auto& file : kernels::changed_lines(mutation.patch)) {
    for (const auto line : file.added) look(mutated.state(file.file, line));
    for (const auto line : file.removed) look(base.state(file.file, line));
  }
  if (any_code) return any_hit;
  return around(mutation, base);
}

}  // namespace lockstep::jobs
