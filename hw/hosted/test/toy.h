// SPDX-License-Identifier: GPL-2.0-or-later
/// Test helper: builds images that are no kernels.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "hw/hosted/boundary.h"

namespace lockstep::hw::hosted {

/// A directory that goes with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = testing::TempDir() + "lockstep-hosted-XXXXXX";
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// Compile the toy image for an address.
inline void build_toy(const std::filesystem::path& to, std::uint64_t address,
                      const std::string& options = "") {
  const std::string command = fmt::format(
      "{} -x c -O1 -ffreestanding -fno-builtin -fno-pie -no-pie -static -nostdlib "
      "-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -I{} "
      "-Wl,-Ttext-segment={:#x} -Wl,-e,toy_image_entry -Wl,--build-id=none -Wl,-z,noexecstack "
      "-Wl,--defsym=toy_absent_data={:#x} -Wl,--defsym=toy_absent_call={:#x} "
      "{} -o {} {}/hw/hosted/test/toy_image.c",
      LOCKSTEP_COMPILER, LOCKSTEP_SOURCE_DIR, address, HOSTED_ABSENT_SYMBOLS,
      HOSTED_ABSENT_SYMBOLS + HOSTED_ABSENT_BYTES, options, to.string(), LOCKSTEP_SOURCE_DIR);
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
}

}  // namespace lockstep::hw::hosted
