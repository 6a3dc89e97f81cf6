// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/image.h"

#include <gtest/gtest.h>

#include <fstream>

#include "hw/hosted/test/toy.h"

namespace lockstep::hw::hosted {
namespace {

constexpr std::uint64_t here = 0x2000'0000;
constexpr std::uint64_t there = 0x3000'0000;

class ImageTest : public testing::Test {
 protected:
  std::unique_ptr<Image> load(std::uint64_t address, const std::string& options = "") {
    const auto file = folder / fmt::format("toy-{:x}", address);
    build_toy(file, address, options);
    auto image = Image::load(file);
    if (!image) {
      error = image.error().message;
      return nullptr;
    }
    return std::move(*image);
  }
  long count(const Image& image) { return image.boundary().ioctl(0, 6, 0); }
  TemporaryFolder folder;
  std::string error;
};

TEST_F(ImageTest, RunsAndResets) {
  const auto image = load(here);
  ASSERT_TRUE(image) << error;
  EXPECT_STREQ(image->boundary().release, "0.0-toy");
  EXPECT_EQ(count(*image), 42);
  EXPECT_EQ(count(*image), 44);  // data and bss
  ASSERT_TRUE(image->reset());
  EXPECT_EQ(count(*image), 42);
}

TEST_F(ImageTest, TwoCoexistAndOneGoes) {
  const auto first = load(here);
  auto second = load(there);
  ASSERT_TRUE(first && second) << error;
  EXPECT_EQ(count(*first), 42);
  EXPECT_EQ(count(*second), 42);
  auto again = Image::load(second->file());
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message.find("0x30000000"), std::string::npos) << again.error().message;
  second.reset();
  again = Image::load(folder / "toy-30000000");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(count(**again), 42);
}

TEST_F(ImageTest, BindsImports) {
  const auto image = load(here);
  ASSERT_TRUE(image) << error;
  long filled = 0;
  EXPECT_EQ(image->boundary().ioctl(0, 5, reinterpret_cast<unsigned long>(&filled)), 1);
  EXPECT_EQ(filled, 0x0101'0101'0101'0101);
}

TEST_F(ImageTest, NamesEveryMissingImport) {
  EXPECT_FALSE(load(here, "-DTOY_MISSING"));
  EXPECT_NE(error.find("does not provide toy_missing_one, toy_missing_two"), std::string::npos)
      << error;
}

TEST_F(ImageTest, NamesSymbols) {
  const auto image = load(here);
  ASSERT_TRUE(image) << error;
  const auto at = image->address_of("toy_warn");
  ASSERT_TRUE(at);
  EXPECT_EQ(image->symbol_of(*at + 1), "toy_warn+0x1");
  EXPECT_EQ(image->symbol_of(0x1234), "0x1234");
  EXPECT_FALSE(image->address_of("no_such_symbol"));
}

TEST_F(ImageTest, TextIsWritableAndConstantsAreNot) {
  const auto image = load(here);
  ASSERT_TRUE(image) << error;
  auto* const text = reinterpret_cast<unsigned char*>(*image->address_of("toy_warn"));
  const unsigned char before = *text;
  *text = 0xcc;
  ASSERT_TRUE(image->reset());
  EXPECT_EQ(*text, before);
  auto* const constant = reinterpret_cast<unsigned*>(*image->address_of("toy_image_entry"));
  EXPECT_DEATH(*constant = 0, "");
}

TEST_F(ImageTest, RefusesWhatIsNoImage) {
  EXPECT_FALSE(load(here, "-DTOY_VERSION=77u"));
  EXPECT_NE(error.find("version 77"), std::string::npos) << error;
  EXPECT_FALSE(load(0x9000'0000, "-mcmodel=large"));
  EXPECT_NE(error.find("2 GiB"), std::string::npos) << error;
  EXPECT_FALSE(load(here, "-s"));
  EXPECT_NE(error.find("stripped"), std::string::npos) << error;
  EXPECT_FALSE(Image::load(folder / "absent"));
  EXPECT_FALSE(Image::load("/proc/self/exe"));
  std::ofstream(folder / "text") << std::string(1000, 'x');
  EXPECT_FALSE(Image::load(folder / "text"));
}

TEST_F(ImageTest, SurvivesTruncation) {
  ASSERT_TRUE(load(here)) << error;
  const auto file = folder / "toy-20000000";
  const auto size = std::filesystem::file_size(file);
  for (std::uintmax_t left = size - 1; left > 0; left = left * 7 / 8) {
    std::filesystem::resize_file(file, left);
    EXPECT_FALSE(Image::load(file)) << left;
  }
}

}  // namespace
}  // namespace lockstep::hw::hosted
