// SPDX-License-Identifier: GPL-2.0-or-later
/// The first root file system of a kernel, as Linux unpacks it:
/// Documentation/driver-api/early-userspace/buffer-format.rst.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lockstep::hw::qemu {

struct ArchiveFile {
  std::string name;  ///< relative to the root; folders stand before what is in them
  std::string text;
  unsigned mode = 0;  ///< with the file's kind, as in stat(2)
};

/// A cpio archive of the format "newc".
std::string write_archive(const std::vector<ArchiveFile>& files);

/// `/init` and the folders that it mounts on.
std::string initramfs(std::string init);

}  // namespace lockstep::hw::qemu
