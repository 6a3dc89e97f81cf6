// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/build/image_code.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "hw/kernels/cache.h"

namespace lockstep::hw::hosted {
namespace {

namespace fs = std::filesystem;

class SameCode : public ::testing::Test {
 protected:
  void SetUp() override { text_ = *kernels::read_file("/bin/true"); }
  void TearDown() override { fs::remove(file_); }
  fs::path write() const {
    std::ofstream(file_, std::ios::binary) << text_;
    return file_;
  }
  std::string text_;
  fs::path file_ = fs::temp_directory_path() / ("lockstep-code-" + std::to_string(getpid()));
};

TEST_F(SameCode, SeesOneByteOfCodeAndNoOther) {
  const auto code = code_of(text_);
  ASSERT_FALSE(code.empty());
  const auto at = static_cast<std::size_t>(
      reinterpret_cast<const char*>(code.front().bytes.data()) - text_.data());
  EXPECT_EQ(same_code("/bin/true", write()).value(), true);
  text_.back() ^= 1;  // behind the last section
  EXPECT_EQ(same_code("/bin/true", write()).value(), true);
  text_[at + code.front().bytes.size() / 2] ^= 1;
  EXPECT_EQ(same_code("/bin/true", write()).value(), false);
}

// A switch that is on by default, a table of masks: no line of code, another kernel.
TEST_F(SameCode, SeesAByteOfAConstant) {
  const auto at = text_.find("GNU coreutils");
  ASSERT_NE(at, std::string::npos);
  text_[at] ^= 1;
  EXPECT_EQ(same_code("/bin/true", write()).value(), false);
}

// They hold lines of the source, which a comment moves.
TEST_F(SameCode, LooksAtNoTableOfWarnings) {
  const auto with = [&](const char* section, const char* bytes) {
    const auto data = file_.string() + ".data";
    const auto made = file_.string() + "." + bytes;
    std::ofstream(data) << bytes;
    const auto command = "objcopy --add-section " + std::string(section) + "=" + data +
                         " --set-section-flags " + section + "=alloc,readonly /bin/true " + made +
                         " 2>/dev/null";
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    fs::remove(data);
    return made;
  };
  for (const char* const section : {"__bug_table", "other"}) {
    const auto one = with(section, "aa");
    const auto other = with(section, "bb");
    EXPECT_EQ(same_code(one, other).value(), section == std::string("__bug_table"));
    fs::remove(one);
    fs::remove(other);
  }
}

TEST_F(SameCode, NothingIsNotTheSameAsNothing) {
  text_ = "no image";
  EXPECT_EQ(same_code(write(), file_).value(), false);
  EXPECT_FALSE(same_code("/no/such/file", file_).has_value());
}

}  // namespace
}  // namespace lockstep::hw::hosted
