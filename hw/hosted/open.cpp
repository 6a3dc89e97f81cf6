// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/open.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "hw/hosted/engine.h"

namespace lockstep::hw {
namespace {

constexpr std::string_view prefix = "hosted";
constexpr std::array<std::string_view, 5> flavours = {"release", "asan", "lockdep", "asan+schedule",
                                                      "tsan"};

bool is_version(std::string_view text) {
  const bool digits =
      std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
  return digits && text.find('.') != std::string_view::npos && text.front() != '.' &&
         text.back() != '.' && text.find("..") == std::string_view::npos;
}

}  // namespace

std::optional<HostedName> parse_hosted_name(std::string_view name) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  HostedName made{.flavour = "release", .kernel = {}, .is_path = false};
  const std::size_t colon = name.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  if (colon != 0) {
    const std::string_view flavour = name.substr(1, colon - 1);
    if (name.front() != '-' || std::ranges::find(flavours, flavour) == flavours.end()) {
      return std::nullopt;
    }
    made.flavour = flavour;
  }
  made.kernel = name.substr(colon + 1);
  if (made.kernel.empty()) return std::nullopt;
  made.is_path = made.kernel.find('/') != std::string::npos;
  if (!made.is_path && !is_version(made.kernel)) return std::nullopt;
  return made;
}

std::optional<std::string> bad_hosted_name(std::string_view name) {
  if (parse_hosted_name(name)) return std::nullopt;
  return fmt::format(
      "'{}' is no hosted engine; write hosted:6.1 or hosted:./TREE, with a flavour as "
      "hosted-asan:6.1 ({})",
      name, fmt::join(flavours, ", "));
}

Result<std::unique_ptr<Engine>> open_hosted_engine(const std::filesystem::path& image,
                                                   std::string name, hosted::Coverage* coverage) {
  auto engine = hosted::HostedEngine::open(image, std::move(name), coverage);
  if (!engine) return tl::unexpected(engine.error());
  return std::move(*engine);
}

std::optional<Result<spec::View>> hosted_view(Engine& engine) {
  auto* const hosted = dynamic_cast<hosted::HostedEngine*>(&engine);
  if (hosted == nullptr) return std::nullopt;
  return hosted->view();
}

}  // namespace lockstep::hw
