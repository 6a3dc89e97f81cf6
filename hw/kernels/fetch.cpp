// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/fetch.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <optional>

#include "hw/kernels/apt_index.h"
#include "hw/kernels/scratch.h"

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;
namespace {

/// A tree takes this much more on disk than its bytes: files end within blocks.
constexpr double block_loss = 1.15;
/// Unpacked to packed bytes, before the tarball itself can be asked.
constexpr std::uint64_t unpacked_ratio = 12;
constexpr std::uint64_t record_bytes = 10'240;  // of tar
constexpr std::uint64_t records_a_step = 5'000;

fs::path origin_file(const Cache& cache, std::string_view version) {
  return cache.source(version).string() + ".origin";
}

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// Bytes of the archive within an .xz file; 0 if xz cannot tell.
std::uint64_t unpacked_bytes(const fs::path& tarball) {
  Process process;
  process.words = {"xz", "--robot", "--list", tarball.string()};
  const auto listed = run(process);
  if (!listed || !listed->ok()) return 0;
  // "totals", streams, blocks, packed bytes, unpacked bytes, …
  auto totals = std::string_view(listed->out);
  const auto start = totals.find("\ntotals\t");
  if (start == std::string_view::npos) return 0;
  totals.remove_prefix(start + 1);
  for (int i = 0; i < 4; ++i) totals.remove_prefix(std::min(totals.find('\t') + 1, totals.size()));
  return number(totals);
}

/// The tarball of an installed package linux-source-VERSION.
fs::path installed_tarball(std::string_view version) {
  return fmt::format("/usr/src/linux-source-{}.tar.xz", version);
}

std::string known_versions(const AptIndex& index) {
  std::vector<std::string> all;
  for (const auto& package : index.packages) all.push_back(package.version);
  return fmt::format("{}", fmt::join(all, ", "));
}

Result<fs::path> tarball_of(const fs::path& deb, const fs::path& folder) {
  Process process;
  process.words = {"dpkg-deb", "--extract", deb.string(), folder.string()};
  if (const auto extracted = run_or_fail(process); !extracted) {
    return tl::unexpected(extracted.error());
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder / "usr/src", error)) {
    const auto name = entry.path().filename().string();
    if (name.starts_with("linux-source-") && name.find(".tar") != name.npos) return entry.path();
  }
  return machine_error(fmt::format("{} holds no usr/src/linux-source-*.tar", deb.string()));
}

/// Unpack the package and remember where it came from.
Result<Tree> fetch_package(const Cache& cache, const SourcePackage& package,
                           const Progress& progress) {
  const auto what = fmt::format("linux {}", package.version);
  const auto need = package.bytes * (2 + unpacked_ratio);
  if (const auto room = require_space(cache.root(), need, what); !room) {
    return tl::unexpected(room.error());
  }
  const Scratch scratch(cache.apt() / "download" / package.version);
  const auto deb = download_package(cache, package, scratch.path(), progress);
  if (!deb) return tl::unexpected(deb.error());
  const auto tarball = tarball_of(*deb, scratch.path() / "unpacked");
  if (!tarball) return tl::unexpected(tarball.error());
  return unpack(cache, package.version, *tarball, progress);
}

/// The version as it stands in the cache, if it does.
std::optional<Result<Fetched>> cached(const Cache& cache, std::string_view version) {
  std::error_code error;
  if (!fs::is_directory(cache.source(version), error)) return std::nullopt;
  auto tree = find_tree(cache, version);
  if (!tree) return tl::unexpected(tree.error());
  return Fetched{std::move(*tree), origin_of(cache, version), true};
}

}  // namespace

std::string origin_of(const Cache& cache, std::string_view version) {
  auto text = read_file(origin_file(cache, version)).value_or("");
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

Result<Tree> unpack(const Cache& cache, std::string_view version, const fs::path& tarball,
                    const Progress& progress) {
  const auto what = fmt::format("linux {}", version);
  const auto bytes = unpacked_bytes(tarball);
  const auto need = static_cast<std::uint64_t>(static_cast<double>(bytes) * block_loss);
  if (const auto room = require_space(cache.root(), need, what); !room) {
    return tl::unexpected(room.error());
  }
  const auto target = cache.source(version);
  const Scratch fresh(target.string() + ".new");
  std::error_code error;
  fs::create_directories(fresh.path(), error);
  if (error) return machine_error(fmt::format("{}: {}", fresh.path().string(), error.message()));
  if (progress) progress(fmt::format("unpacking {} ({})", what, human_bytes(need)));
  Process process;
  process.words = {"tar",
                   "--extract",
                   "--file",
                   tarball.string(),
                   "--directory",
                   fresh.path().string(),
                   "--strip-components=1",
                   "--no-same-owner",
                   fmt::format("--checkpoint={}", records_a_step),
                   "--checkpoint-action=echo=%u"};
  process.environment = {"XZ_OPT=-T0"};
  process.on_line = [&](std::string_view line) {
    constexpr std::string_view mark = "tar: ";
    if (!progress || bytes == 0 || !line.starts_with(mark)) return;
    const auto done = number(line.substr(mark.size())) * record_bytes;
    if (done > 0) progress(fmt::format("unpacking {}: {} %", what, done * 100 / bytes));
  };
  const auto unpacked = run(process);
  if (!unpacked) return tl::unexpected(unpacked.error());
  if (!unpacked->ok()) {
    return machine_error(
        fmt::format("{} cannot be unpacked: {}", tarball.string(), unpacked->last_words()));
  }
  auto tree = open_tree(fresh.path());
  if (!tree) return tree;
  if (tree->name != version) {
    return machine_error(fmt::format("{} holds linux {}, not {}", tarball.filename().string(),
                                     tree->release, version));
  }
  fs::rename(fresh.path(), target, error);
  if (error) return machine_error(fmt::format("{}: {}", target.string(), error.message()));
  return find_tree(cache, version);
}

Result<Fetched> fetch(const Cache& cache, std::string_view version, const Progress& progress) {
  if (!is_version(version)) {
    return input_error(fmt::format("'{}' is no version: digits and dots, as 6.12", version));
  }
  if (auto there = cached(cache, version)) return std::move(*there);
  const auto index = read_apt_index(cache, /*refresh=*/false, progress);
  std::error_code error;
  const auto* found = index ? index->find(version) : nullptr;
  if (found == nullptr && !fs::exists(installed_tarball(version), error)) {
    if (!index) return tl::unexpected(index.error());
    auto message = fmt::format("Debian has no package linux-source-{}; there are {}", version,
                               known_versions(*index));
    if (index->warnings.empty()) return input_error(std::move(message));
    // What apt could not ask may have it.
    return machine_error(fmt::format("{}; apt could not get all of the index:\n{}", message,
                                     fmt::join(index->warnings, "\n")));
  }
  const auto lock = Lock::take(cache.source(version).string() + ".lock", progress);
  if (!lock) return tl::unexpected(lock.error());
  // Another process may have fetched it while this one waited.
  if (auto there = cached(cache, version)) return std::move(*there);
  std::string package;
  Result<Tree> tree;
  if (found != nullptr) {
    package = fmt::format("{} {}", found->debian_version, found->suite);
    tree = fetch_package(cache, *found, progress);
  } else {
    package = "installed on this machine";
    tree = unpack(cache, version, installed_tarball(version), progress);
  }
  if (!tree) return tl::unexpected(tree.error());
  if (const auto written = write_file(origin_file(cache, version), package + "\n"); !written) {
    return tl::unexpected(written.error());
  }
  return Fetched{std::move(*tree), std::move(package), false};
}

}  // namespace lockstep::hw::kernels
