// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kvm/host.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "hw/kvm/capabilities.h"

namespace lockstep::hw {
namespace {

/// A root directory with the files of a made-up host.
class HostTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::path(::testing::TempDir()) / ("host-" + std::to_string(::getpid()));
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text << "\n";
  }
  std::filesystem::path root_;
};

TEST_F(HostTest, ReadsModuleAndParameters) {
  put("sys/module/kvm_amd/parameters/npt", "1");
  put("sys/module/kvm/parameters/tdp_mmu", "Y");
  put("proc/cpuinfo", "model name\t: Some CPU\naddress sizes\t: 43 bits physical, 48 bits virtual");
  const HostFacts facts = read_host(root_);
  EXPECT_EQ(facts.vendor_module, "kvm_amd");
  EXPECT_EQ(facts.parameter("kvm.tdp_mmu"), "Y");
  EXPECT_EQ(facts.parameter("kvm.mmio_caching"), std::nullopt);
  EXPECT_EQ(facts.cpu_model, "Some CPU");
  EXPECT_EQ(facts.physical_bits, 43u);
  EXPECT_TRUE(facts.tdp());
  EXPECT_EQ(facts.provenance().back().second, facts.hash());
}

TEST_F(HostTest, TdpFollowsTheVendorModule) {
  put("sys/module/kvm_intel/parameters/ept", "N");
  EXPECT_FALSE(read_host(root_).tdp());
  put("sys/module/kvm_intel/parameters/ept", "Y");
  EXPECT_TRUE(read_host(root_).tdp());
}

TEST_F(HostTest, PvmHasNoTdp) {
  put("sys/module/kvm_pvm/parameters/pvm_native", "Y");
  put("sys/module/kvm/parameters/tdp_mmu", "Y");
  EXPECT_FALSE(read_host(root_).tdp());
}

TEST_F(HostTest, NoModuleIsSaid) {
  const HostFacts facts = read_host(root_);
  EXPECT_EQ(facts.vendor_module, "");
  EXPECT_FALSE(facts.tdp());
}

TEST_F(HostTest, HashFollowsEveryFact) {
  put("sys/module/kvm/parameters/tdp_mmu", "Y");
  const HostFacts one = read_host(root_);
  EXPECT_EQ(one.hash(), read_host(root_).hash());
  put("sys/module/kvm/parameters/tdp_mmu", "N");
  EXPECT_NE(one.hash(), read_host(root_).hash());
  HostFacts other = one;
  other.capabilities.emplace_back("SMM", 1);
  EXPECT_NE(one.hash(), other.hash());
}

TEST(OpenKvm, SaysWhatIsWrongAndWhatToDo) {
  const auto absent = open_kvm("/nonexistent/kvm");
  ASSERT_FALSE(absent);
  EXPECT_NE(absent.error().message.find("load kvm"), std::string::npos);
  const auto other = open_kvm("/dev/null");
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().message.find("not the KVM device"), std::string::npos);
}

}  // namespace
}  // namespace lockstep::hw
