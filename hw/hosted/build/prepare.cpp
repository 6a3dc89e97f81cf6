// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/build/prepare.h"

#include <fmt/format.h>
#include <map>
#include <system_error>

#include "hw/hosted/build/flavour.h"
#include "hw/hosted/build/image_build.h"
#include "hw/hosted/open.h"
#include "hw/kernels/cache.h"
#include "hw/kernels/source.h"
#include "hw/kernels/tree.h"

namespace lockstep::hw::hosted {
namespace {

/// Whether this process can run the flavour: AddressSanitizer needs its runtime.
kernels::Result<void> runs_here([[maybe_unused]] std::string_view name, std::string_view flavour) {
  if (auto known = make_flavour(flavour); !known) return tl::unexpected(known.error());
#ifndef __SANITIZE_ADDRESS__
  if (flavour == "asan") {
    return kernels::input_error(
        fmt::format("{} needs a lockstep that was built with AddressSanitizer itself: "
                    "cmake --preset default && cmake --build --preset default",
                    name));
  }
#endif
  return {};
}

}  // namespace

kernels::Result<std::filesystem::path> prepare_hosted(std::string_view name,
                                                      const kernels::Progress& progress) {
  static std::map<std::string, std::filesystem::path, std::less<>> prepared;
  if (const auto found = prepared.find(name); found != prepared.end()) return found->second;
  const auto wanted = hw::parse_hosted_name(name);
  if (!wanted) {
    return kernels::input_error(
        hw::bad_hosted_name(name).value_or(fmt::format("'{}' is no hosted engine", name)));
  }
  std::error_code ignored;
  if (wanted->is_path && std::filesystem::is_regular_file(wanted->kernel, ignored)) {
    return std::filesystem::path(wanted->kernel);
  }
  if (const auto runs = runs_here(name, wanted->flavour); !runs) {
    return tl::unexpected(runs.error());
  }
  const auto cache = kernels::Cache::standard();
  if (!cache) return tl::unexpected(cache.error());
  const auto tree = kernels::find_tree(*cache, wanted->kernel);
  if (!tree) return tl::unexpected(tree.error());
  const auto source = kernels::plain_source(*cache, *tree, progress);
  if (!source) return tl::unexpected(source.error());
  ImageOptions options;
  options.flavour = wanted->flavour;
  options.place = static_cast<unsigned>(prepared.size());
  if (options.place >= image_places) {
    return kernels::input_error(fmt::format("more than {} hosted engines", image_places));
  }
  auto image = build_image(*cache, *source, options, progress);
  if (image) prepared.emplace(std::string(name), *image);
  return image;
}

}  // namespace lockstep::hw::hosted
