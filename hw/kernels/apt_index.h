// SPDX-License-Identifier: GPL-2.0-or-later
/// Which kernel sources Debian has, asked through apt with a configuration of our
/// own: the archives that this machine's apt is set up with, more of their suites,
/// signatures checked by apt itself. /etc/apt and apt's own state are only read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "hw/kernels/cache.h"
#include "hw/kernels/error.h"
#include "hw/kernels/process.h"

namespace lockstep::hw::kernels {

/// A package linux-source-VERSION.
struct SourcePackage {
  std::string version;         ///< "7.2"
  std::string package;         ///< "linux-source-7.2"
  std::string debian_version;  ///< "7.2.13-1"
  std::string suite;           ///< codename of the newest one: "sid"
  std::uint64_t bytes = 0;     ///< to download
};

struct AptIndex {
  std::vector<SourcePackage> packages;  ///< oldest version first
  /// What apt could not get; suites that an archive lacks are among them.
  std::vector<std::string> warnings;

  /// The package of a version; null if there is none.
  const SourcePackage* find(std::string_view version) const;
};

/// Read the index, downloaded again if it is older than a day, or if `refresh`.
/// Errors: apt is absent or set up with no Debian archive; nothing could be
/// downloaded, with apt's own words.
Result<AptIndex> read_apt_index(const Cache& cache, bool refresh, const Progress& progress);

/// Download a package's .deb to the folder; returns its path. Errors quote apt.
Result<std::filesystem::path> download_package(const Cache& cache, const SourcePackage& package,
                                               const std::filesystem::path& folder,
                                               const Progress& progress);

}  // namespace lockstep::hw::kernels
