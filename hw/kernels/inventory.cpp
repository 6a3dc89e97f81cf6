// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/inventory.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "hw/kernels/fetch.h"
#include "hw/kernels/tree.h"

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view linux_prefix = "linux-";
constexpr std::string_view path_prefix = "path-";
constexpr std::size_t path_digits = 16;

/// Version that a folder of the cache belongs to: keys start with
/// Tree::identity(), and more follows after a dash or a dot.
std::string owner(std::string_view name) {
  if (name.starts_with(path_prefix)) {
    return std::string(name.substr(0, path_prefix.size() + path_digits));
  }
  if (!name.starts_with(linux_prefix)) return {};
  name.remove_prefix(linux_prefix.size());
  auto version = name.substr(0, name.find_first_not_of("0123456789."));
  while (version.ends_with('.')) version.remove_suffix(1);
  return std::string(version);
}

bool is_lock(const fs::path& path) { return path.extension() == ".lock"; }

std::vector<fs::path> made_folders(const Cache& cache) {
  return {cache.root() / "overlay", cache.root() / "build", cache.images()};
}

std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> all;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (!is_lock(entry.path())) all.push_back(entry.path());
  }
  return all;
}

/// A folder that another process builds in goes when that process is done.
Result<void> remove_entry(const fs::path& path, const Progress& progress) {
  if (progress) progress(fmt::format("removing {}", path.string()));
  std::error_code error;
  if (!fs::is_directory(path, error)) return remove_tree(path);
  const auto lock = Lock::take(path.string() + ".lock", progress);
  if (!lock) return tl::unexpected(lock.error());
  return remove_tree(path);
}

struct Older {
  bool operator()(const std::string& a, const std::string& b) const {
    if (is_version(a) && is_version(b)) return older(a, b);
    if (is_version(a) != is_version(b)) return is_version(a);
    return a < b;
  }
};

}  // namespace

Inventory take_inventory(const Cache& cache) {
  std::map<std::string, CachedKernel, Older> kernels;
  for (const auto& version : cached_versions(cache)) {
    auto& kernel = kernels[version];
    if (const auto tree = find_tree(cache, version)) kernel.release = tree->release;
    kernel.package = origin_of(cache, version);
    kernel.source_bytes = disk_bytes(cache.source(version));
  }
  for (const auto& folder : made_folders(cache)) {
    for (const auto& path : entries(folder)) {
      const auto version = owner(path.filename().string());
      if (!version.empty()) kernels[version].made_bytes += disk_bytes(path, /*alone=*/true);
    }
  }
  Inventory inventory;
  for (auto& [version, kernel] : kernels) {
    kernel.version = version;
    inventory.kernels.push_back(std::move(kernel));
  }
  inventory.other_bytes = disk_bytes(cache.apt());
  return inventory;
}

Result<std::uint64_t> remove_kernel(const Cache& cache, std::string_view version,
                                    const Progress& progress) {
  const auto before = take_inventory(cache);
  std::vector<std::string> there;
  std::uint64_t bytes = 0;
  bool found = false;
  for (const auto& kernel : before.kernels) {
    there.push_back(kernel.version);
    if (kernel.version != version) continue;
    found = true;
    bytes = kernel.source_bytes + kernel.made_bytes;
  }
  if (!found) {
    return input_error(fmt::format("nothing of '{}' in the cache ({})", version,
                                   there.empty()
                                       ? std::string("it is empty")
                                       : fmt::format("there: {}", fmt::join(there, ", "))));
  }
  auto folders = made_folders(cache);
  folders.push_back(cache.root() / "source");
  for (const auto& folder : folders) {
    for (const auto& path : entries(folder)) {
      if (owner(path.filename().string()) != version) continue;
      if (const auto removed = remove_entry(path, progress); !removed) {
        return tl::unexpected(removed.error());
      }
    }
  }
  return bytes;
}

}  // namespace lockstep::hw::kernels
