// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/build/prepare.h"

#include <fmt/format.h>
#include <map>
#include <utility>

#include "hw/hosted/build/flavour.h"
#include "hw/hosted/build/image_build.h"
#include "hw/kernels/cache.h"
#include "hw/kernels/source.h"
#include "hw/kernels/tree.h"

namespace lockstep::hw::hosted {
namespace {

/// A process that runs under AddressSanitizer can check the kernel as well.
#ifdef __SANITIZE_ADDRESS__
constexpr std::string_view default_flavour = "asan";
#else
constexpr std::string_view default_flavour = "release";
#endif

}  // namespace

kernels::Result<std::optional<HostedName>> parse_hosted_name(std::string_view name) {
  constexpr std::string_view prefix = "hosted";
  if (name.substr(0, prefix.size()) != prefix) return std::optional<HostedName>();
  const std::string_view rest = name.substr(prefix.size());
  if (!rest.empty() && rest.front() != ':' && rest.front() != '-') {
    return std::optional<HostedName>();
  }
  const auto colon = rest.find(':');
  if (colon == std::string_view::npos || colon + 1 == rest.size()) {
    return kernels::input_error(
        fmt::format("engine '{}' names no kernel: say hosted:6.1 or hosted:/path/to/linux", name));
  }
  HostedName parsed{std::string(default_flavour), std::string(rest.substr(colon + 1))};
  if (colon > 0) parsed.flavour = std::string(rest.substr(1, colon - 1));
  if (auto flavour = make_flavour(parsed.flavour); !flavour) {
    return tl::unexpected(flavour.error());
  }
  if (parsed.flavour != "release" && default_flavour == "release") {
    return kernels::input_error(
        fmt::format("engine '{}' needs Lockstep's own AddressSanitizer build: "
                    "cmake --preset default, then run that lockstep",
                    name));
  }
  return std::optional(std::move(parsed));
}

kernels::Result<std::filesystem::path> prepare_hosted(std::string_view name,
                                                      const kernels::Progress& progress) {
  static std::map<std::string, std::filesystem::path, std::less<>> prepared;
  if (const auto found = prepared.find(name); found != prepared.end()) return found->second;
  const auto parsed = parse_hosted_name(name);
  if (!parsed) return tl::unexpected(parsed.error());
  if (!*parsed) return kernels::input_error(fmt::format("'{}' is no hosted engine", name));
  const auto cache = kernels::Cache::standard();
  if (!cache) return tl::unexpected(cache.error());
  const auto tree = kernels::find_tree(*cache, (*parsed)->tree);
  if (!tree) return tl::unexpected(tree.error());
  const auto source = kernels::plain_source(*cache, *tree, progress);
  if (!source) return tl::unexpected(source.error());
  ImageOptions options;
  options.flavour = (*parsed)->flavour;
  options.place = static_cast<unsigned>(prepared.size());
  if (options.place >= image_places) {
    return kernels::input_error(fmt::format("more than {} hosted engines", image_places));
  }
  auto image = build_image(*cache, *source, options, progress);
  if (image) prepared.emplace(std::string(name), *image);
  return image;
}

}  // namespace lockstep::hw::hosted
