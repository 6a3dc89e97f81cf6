// SPDX-License-Identifier: GPL-2.0-or-later
/// Without a network: scripts stand for apt, dpkg-deb and tar are the real ones.
#include "hw/kernels/fetch.h"

#include <gtest/gtest.h>

#include "hw/kernels/apt_index.h"
#include "hw/kernels/inventory.h"
#include "hw/kernels/process.h"
#include "hw/kernels/test_tree.h"

namespace lockstep::hw::kernels {
namespace {

namespace fs = std::filesystem;

constexpr const char* targets =
    "  indextargets) echo 'mirror:/debian/|bookworm|main|Debian'\n"
    "    echo 'mirror:/debian/|bookworm-updates|main|Debian'\n"
    "    echo 'mirror:/other/|stable|main|Elsewhere' ;;\n";

class Fetch : public testing::Test {
 protected:
  void SetUp() override {
    apt("  update) echo 'Get:1 mirror:/debian sid InRelease' ;;\n"
        "  download) cp " +
        (folder_.path() / "linux.deb").string() + " linux-source-6.1_1_all.deb ;;\n");
    folder_.program(
        "bin/apt-cache",
        "shift 2\ncase $1 in\n"
        "  pkgnames) echo linux-source-6.1; echo linux-source-9.0\n"
        "    echo linux-source-6.1-rt ;;\n"
        "  show) printf 'Package: linux-source-9.0\\nVersion: 9.0-1\\nSize: 7\\n\\n'\n"
        "    printf 'Package: linux-source-6.1\\nVersion: 6.1.7-1\\nSize: 1000\\n\\n' ;;\n"
        "  madison) echo ' linux-source-6.1 | 6.1.7-1 | mirror:/debian sid/main amd64 Packages'\n"
        "    ;;\nesac\n");
  }

  /// An apt-get that answers `indextargets`, and the rest as given.
  void apt(const std::string& cases) {
    folder_.program("bin/apt-get", "echo \"$@\" >> " + (folder_.path() / "asked").string() +
                                       "\n[ \"$1\" = -c ] && shift 2\ncase $1 in\n" + targets +
                                       cases + "esac\n");
  }

  /// A package as Debian makes them, of the tiny tree.
  void make_deb(const std::string& version) {
    tiny_tree(folder_, "made/linux-source-" + version);
    folder_.file("deb/DEBIAN/control",
                 "Package: linux-source\nVersion: 1\nArchitecture: all\n"
                 "Maintainer: a <a@b>\nDescription: x\n");
    fs::create_directories(folder_.path() / "deb/usr/src");
    Process tar;
    tar.words = {
        "tar",
        "-cJf",
        (folder_.path() / "deb/usr/src" / ("linux-source-" + version + ".tar.xz")).string(),
        "-C",
        (folder_.path() / "made").string(),
        "linux-source-" + version};
    ASSERT_TRUE(run_or_fail(tar));
    Process deb;
    deb.words = {"dpkg-deb", "--build", "--root-owner-group", (folder_.path() / "deb").string(),
                 (folder_.path() / "linux.deb").string()};
    ASSERT_TRUE(run_or_fail(deb));
  }

  TestFolder folder_;
  Cache cache_{folder_.path() / "cache"};
  Variable path_{"PATH", ((folder_.path() / "bin").string() + ":" + std::getenv("PATH")).c_str()};
};

TEST_F(Fetch, AsksMoreSuitesOfTheSameArchive) {
  const auto index = read_apt_index(cache_, false, {});
  ASSERT_TRUE(index) << index.error().message;
  ASSERT_EQ(index->packages.size(), 2U);
  EXPECT_EQ(index->packages[0].version, "6.1");
  EXPECT_EQ(index->packages[0].suite, "sid");
  EXPECT_EQ(index->packages[0].bytes, 1000U);
  EXPECT_EQ(index->find("9.0")->debian_version, "9.0-1");
  const auto sources = folder_.text("cache/apt/sources.list");
  for (const auto* suite :
       {" bookworm ", " bookworm-updates ", " bookworm-backports ", " sid ", " experimental "}) {
    EXPECT_NE(sources.find(std::string("mirror:/debian/") + suite + "main\n"), std::string::npos)
        << sources;
  }
  EXPECT_EQ(sources.find("other"), std::string::npos);
  EXPECT_EQ(sources.find("updates-backports"), std::string::npos);
  const auto conf = folder_.text("cache/apt/apt.conf");
  EXPECT_NE(conf.find("Dir::State \"" + cache_.apt().string()), std::string::npos);
  EXPECT_NE(conf.find("AllowUnauthenticated \"false\""), std::string::npos);
}

TEST_F(Fetch, AsksAgainOnlyWhenTheIndexIsOld) {
  const auto updates = [this] {
    std::size_t count = 0;
    const auto asked = folder_.text("asked");
    for (auto at = asked.find(" update\n"); at != std::string::npos;
         at = asked.find(" update\n", at + 1)) {
      ++count;
    }
    return count;
  };
  ASSERT_TRUE(read_apt_index(cache_, false, {}));
  ASSERT_TRUE(read_apt_index(cache_, false, {}));
  EXPECT_EQ(updates(), 1U);
  fs::last_write_time(cache_.apt() / "updated",
                      fs::file_time_type::clock::now() - std::chrono::hours(25));
  ASSERT_TRUE(read_apt_index(cache_, false, {}));
  EXPECT_EQ(updates(), 2U);
}

TEST_F(Fetch, UnpacksOnceAndRemembersWhence) {
  make_deb("6.1");
  const auto first = fetch(cache_, "6.1", {});
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_FALSE(first->was_there);
  EXPECT_EQ(first->tree.release, "6.1.7");
  EXPECT_TRUE(first->tree.pristine);
  EXPECT_EQ(first->package, "6.1.7-1 sid");
  EXPECT_FALSE(folder_.has("cache/apt/download/6.1"));
  const auto second = fetch(cache_, "6.1", {});
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->was_there);
  EXPECT_EQ(second->package, "6.1.7-1 sid");
}

TEST_F(Fetch, UnknownVersionsListWhatThereIs) {
  const auto unknown = fetch(cache_, "8.8", {});
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("there are 6.1, 9.0"), std::string::npos);
  EXPECT_EQ(unknown.error().cause, KernelError::Cause::input);
  EXPECT_EQ(fetch(cache_, "../x", {}).error().cause, KernelError::Cause::input);
}

TEST_F(Fetch, QuotesAptWhenTheNetworkIsAway) {
  apt("  update) echo 'E: Failed to fetch mirror: no such host' >&2; exit 100 ;;\n");
  folder_.program("bin/apt-cache", "exit 0\n");
  const auto index = read_apt_index(cache_, false, {});
  ASSERT_FALSE(index);
  EXPECT_NE(index.error().message.find("no such host"), std::string::npos);
  EXPECT_EQ(index.error().cause, KernelError::Cause::machine);
  EXPECT_FALSE(folder_.has("cache/apt/updated"));
}

// What apt could not ask may have the version that the rest lacks.
TEST_F(Fetch, AnIndexWithHolesIsNoProofThatAVersionLacks) {
  apt("  update) echo 'E: Failed to fetch mirror: no such host' >&2; exit 100 ;;\n");
  const auto unknown = fetch(cache_, "8.8", {});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().cause, KernelError::Cause::machine);
  EXPECT_NE(unknown.error().message.find("no such host"), std::string::npos)
      << unknown.error().message;
}

TEST_F(Fetch, AnUpdateThatIsEndedLeavesNoFreshIndex) {
  apt("  update) kill -TERM $$ ;;\n");
  const auto index = read_apt_index(cache_, false, {});
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_EQ(index->warnings.size(), 1U);
  EXPECT_FALSE(folder_.has("cache/apt/updated"));
}

TEST_F(Fetch, QuotesAptWhenADownloadFails) {
  apt("  update) ;;\n  download) echo 'E: Hash Sum mismatch' >&2; exit 100 ;;\n");
  const auto failed = fetch(cache_, "6.1", {});
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("Hash Sum mismatch"), std::string::npos);
  EXPECT_FALSE(folder_.has("cache/source/linux-6.1"));
}

TEST_F(Fetch, RefusesAPackageWithAnotherVersion) {
  make_deb("9.0");
  const auto failed = fetch(cache_, "9.0", {});
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("holds linux 6.1.7, not 9.0"), std::string::npos)
      << failed.error().message;
  EXPECT_FALSE(folder_.has("cache/source/linux-9.0"));
  EXPECT_FALSE(folder_.has("cache/source/linux-9.0.new"));
}

TEST_F(Fetch, InventoryAndRemoval) {
  make_deb("6.1");
  ASSERT_TRUE(fetch(cache_, "6.1", {}));
  folder_.file("cache/build/linux-6.1-plain-0/x.o", std::string(50'000, 'x'));
  folder_.file("cache/build/linux-6.12-plain-0/x.o", "x");
  folder_.file("cache/build/path-0123456789abcdef-plain-0/x.o", "x");
  const auto inventory = take_inventory(cache_);
  ASSERT_EQ(inventory.kernels.size(), 3U);
  EXPECT_EQ(inventory.kernels[0].version, "6.1");
  EXPECT_EQ(inventory.kernels[0].release, "6.1.7");
  EXPECT_EQ(inventory.kernels[0].package, "6.1.7-1 sid");
  EXPECT_GE(inventory.kernels[0].made_bytes, 50'000U);
  EXPECT_EQ(inventory.kernels[1].version, "6.12");
  EXPECT_EQ(inventory.kernels[2].version, "path-0123456789abcdef");
  const auto freed = remove_kernel(cache_, "6.1", {});
  ASSERT_TRUE(freed) << freed.error().message;
  EXPECT_GE(*freed, 50'000U);
  EXPECT_FALSE(folder_.has("cache/source/linux-6.1"));
  EXPECT_FALSE(folder_.has("cache/build/linux-6.1-plain-0"));
  EXPECT_TRUE(folder_.has("cache/build/linux-6.12-plain-0"));
  const auto again = remove_kernel(cache_, "6.1", {});
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message.find("there: 6.12, path-0123456789abcdef"), std::string::npos);
}

}  // namespace
}  // namespace lockstep::hw::kernels
