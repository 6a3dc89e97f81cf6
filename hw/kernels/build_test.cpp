// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/build.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "hw/kernels/test_tree.h"

namespace lockstep::hw::kernels {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

constexpr const char* patch =
    "--- a/arch/x86/kvm/x86.c\n+++ b/arch/x86/kvm/x86.c\n@@ -1 +1 @@\n"
    "-int x86(void) { return 1; }\n+int x86(void) { return 2; }\n";

class BuildTest : public testing::Test {
 protected:
  void SetUp() override { tiny_pristine(folder_); }

  Result<Build> open(const std::string& text = "",
                     Flavour flavour = {"plain", {"CONFIG_KVM=y\n"}, {}, {}}) {
    const auto tree = find_tree(cache_, "6.1");
    auto source =
        text.empty() ? plain_source(cache_, *tree, {}) : patched_source(cache_, *tree, text, {});
    if (!source) return tl::unexpected(source.error());
    return Build::open(cache_, std::move(*source), std::move(flavour), {});
  }
  static std::string compiled(const Build& build) {
    return read_file(build.folder() / "compiled").value_or("");
  }

  TestFolder folder_;
  Cache cache_{folder_.path() / "cache"};
};

TEST_F(BuildTest, MakesKvmAndNamesItsObjects) {
  auto build = open();
  ASSERT_TRUE(build) << build.error().message;
  Words said;
  const auto objects = build->make_kvm([&said](std::string_view line) { said.emplace_back(line); });
  ASSERT_TRUE(objects) << objects.error().message;
  EXPECT_EQ(*objects,
            (Words{"virt/kvm/kvm_main.o", "arch/x86/kvm/x86.o", "arch/x86/kvm/mmu/mmu.o"}));
  for (const auto& object : *objects) EXPECT_TRUE(fs::exists(build->folder() / object)) << object;
  EXPECT_NE(std::ranges::find(said, "CC      arch/x86/kvm/mmu/mmu.o"), said.end());
  EXPECT_EQ(config_value(build->config(), "KVM"), "y");
  // Nothing in the tree itself.
  EXPECT_FALSE(folder_.has("cache/source/linux-6.1/arch/x86/kvm/x86.o"));
}

TEST_F(BuildTest, StaysWarm) {
  { ASSERT_TRUE(open()->make_kvm({})); }
  auto again = open();
  const auto before = compiled(*again);
  ASSERT_TRUE(again->make_kvm({}));
  EXPECT_EQ(compiled(*again), before);
}

TEST_F(BuildTest, FlavoursHaveFoldersOfTheirOwn) {
  const auto plain = open()->folder();
  const auto flags = open("", {"plain", {"CONFIG_KVM=y\n"}, {"-O0"}, {}})->folder();
  const auto fragment = open("", {"plain", {"CONFIG_KVM=y\n", "CONFIG_GPU=y\n"}, {}, {}})->folder();
  EXPECT_NE(plain, flags);
  EXPECT_NE(plain, fragment);
  EXPECT_NE(flags, fragment);
  EXPECT_EQ(plain, open()->folder());
}

TEST_F(BuildTest, APatchCompilesOnlyWhatItChanges) {
  { ASSERT_TRUE(open()->make_kvm({})); }
  auto patched = open(patch);
  ASSERT_TRUE(patched) << patched.error().message;
  fs::remove(patched->folder() / "compiled");
  ASSERT_TRUE(patched->make_kvm({}));
  EXPECT_EQ(compiled(*patched), "arch/x86/kvm/x86\n");
  // The recorded commands speak of the patched source.
  const auto command = patched->command_like("arch/x86/kvm/mmu/mmu.o", "/in.c", "/out.o");
  ASSERT_TRUE(command);
  EXPECT_NE(std::ranges::find(command->words, "-I" + patched->source().path.string() + "/include"),
            command->words.end());
}

// A review applies the patch, and builds the base when it first wants to run it: objects
// of the base that are younger than the patch must not stand for the patched ones.
TEST_F(BuildTest, APatchThatIsOlderThanTheBasesObjectsIsCompiled) {
  const auto tree = find_tree(cache_, "6.1");
  auto source = patched_source(cache_, *tree, patch, {});
  ASSERT_TRUE(source);
  { ASSERT_TRUE(open()->make_kvm({})); }
  auto patched = Build::open(cache_, *std::move(source), {"plain", {"CONFIG_KVM=y\n"}, {}, {}}, {});
  ASSERT_TRUE(patched) << patched.error().message;
  fs::remove(patched->folder() / "compiled");
  ASSERT_TRUE(patched->make_kvm({}));
  EXPECT_EQ(compiled(*patched), "arch/x86/kvm/x86\n");
}

TEST_F(BuildTest, RefusedWishesAreAnError) {
  const auto build = open("", {"plain", {"CONFIG_KVM=y\nCONFIG_REFUSED=y\n"}, {}, {}});
  ASSERT_FALSE(build);
  EXPECT_NE(build.error().message.find("CONFIG_REFUSED: y was wanted"), std::string::npos)
      << build.error().message;
  // It is no less an error the second time.
  EXPECT_FALSE(open("", {"plain", {"CONFIG_KVM=y\nCONFIG_REFUSED=y\n"}, {}, {}}));
}

TEST_F(BuildTest, ConfiguresAgainWhenAKconfigFileChanged) {
  const auto configured = [](const Build& build) {
    return read_file(build.folder() / "configured").value_or("");
  };
  const std::string once = "allnoconfig\n";
  EXPECT_EQ(configured(*open()), once);
  EXPECT_EQ(configured(*open()), once);
  // From the warm build, which was configured once.
  EXPECT_EQ(configured(*open(patch)), once);
  EXPECT_EQ(configured(*open("--- a/arch/x86/kvm/Kconfig\n+++ b/arch/x86/kvm/Kconfig\n@@ -1 +1 @@\n"
                             "-config KVM\n+config KVM_OTHER\n")),
            once + once);
}

TEST_F(BuildTest, QuotesTheCompilersFirstError) {
  auto text = std::string(patch);
  text.replace(text.find("return 2"), 8, "return x");
  auto build = open(text);
  ASSERT_TRUE(build) << build.error().message;
  const auto made = build->make_kvm({});
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("linux 6.1.7 with the patch does not compile:\n"
                                      "arch/x86/kvm/x86.c:1:24: error: "),
            std::string::npos)
      << made.error().message;
  EXPECT_EQ(made.error().cause, KernelError::Cause::input);
}

TEST_F(BuildTest, ABuildThatASignalEndedBlamesNoPatch) {
  auto build = open(patch);
  ASSERT_TRUE(build) << build.error().message;
  folder_.program("bin/make", "kill -TERM $$\n");
  const auto path = (folder_.path() / "bin").string() + ":" + std::getenv("PATH");
  const Variable ended("PATH", path.c_str());
  const auto made = build->make_kvm({});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().cause, KernelError::Cause::machine) << made.error().message;
  EXPECT_NE(made.error().message.find("ended by signal 15"), std::string::npos)
      << made.error().message;
}

TEST_F(BuildTest, AFullDiskBlamesNoPatch) {
  auto build = open(patch);
  ASSERT_TRUE(build) << build.error().message;
  folder_.program("bin/make",
                  "echo 'x86.c:1:1: error: x' >&2\n"
                  "echo 'fatal error: error writing to /tmp/a.s: No space left on device' >&2\n"
                  "exit 2\n");
  const auto path = (folder_.path() / "bin").string() + ":" + std::getenv("PATH");
  const Variable full("PATH", path.c_str());
  const auto made = build->make_kvm({});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().cause, KernelError::Cause::machine) << made.error().message;
  EXPECT_NE(made.error().message.find("/tmp/a.s: No space left on device"), std::string::npos)
      << made.error().message;
}

TEST_F(BuildTest, OtherSourcesCompileWithKbuildsFlags) {
  auto build = open("", {"plain", {"CONFIG_KVM=y\n"}, {"-DFLAG=3"}, {}});
  ASSERT_TRUE(build->make_kvm({}));
  const auto input = folder_.file("own.c",
                                  "#include \"level.h\"\nint own = LEVEL + FLAG + MORE;\n"
                                  "const char* name = NAME;\n");
  const auto output = folder_.path() / "own/own.o";
  const auto done = build->compile_like("arch/x86/kvm/mmu/mmu.o", input, output, {"-DMORE=1"}, {});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(fs::exists(output));
  EXPECT_TRUE(fs::exists(output.string() + ".d"));
  const auto wrong = build->compile_like("arch/x86/kvm/mmu/mmu.o", input, output, {}, {});
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("own.c:2:"), std::string::npos) << wrong.error().message;
  EXPECT_FALSE(build->command_like("arch/x86/kvm/never.o", input, output));
}

TEST(RecordedWords, AreSplitAsAShellWould) {
  EXPECT_EQ(
      recorded_words("savedcmd_a.o := ccache gcc -DX='\"a b\"' -DY=\\\"z\\\" \"q w\"  -c -o a.o "
                     "a.c   ; ./objtool a.o\n\nsource_a.o := a.c\n"),
      (Words{"ccache", "gcc", "-DX=\"a b\"", "-DY=\"z\"", "q w", "-c", "-o", "a.o", "a.c"}));
  EXPECT_EQ(recorded_words("cmd_a.o := gcc -DP='$$x$(pound)1' -c -o a.o a.c"),
            (Words{"gcc", "-DP=$x#1", "-c", "-o", "a.o", "a.c"}));
  EXPECT_TRUE(recorded_words("").empty());
  EXPECT_TRUE(recorded_words("deps := cmd_x").empty());
}

}  // namespace
}  // namespace lockstep::hw::kernels
