// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/mutant.h"

#include <gtest/gtest.h>

#include "hw/kernels/changed_lines.h"
#include "hw/kernels/mutant_tree.h"
#include "hw/kernels/test_tree.h"

namespace lockstep::hw::kernels {
namespace {

const std::string header =
    "// SPDX-License-Identifier: GPL-2.0-or-later\n"
    "// title: A flush is missing: here\n"
    "// breaks: 41\n"
    "// history: none\n"
    "// needs: mmu=any\n"
    "// reached-by: kvm_zap\n"
    "// file: arch/x86/kvm/mmu/mmu.c\n"
    "// file: virt/kvm/kvm_main.c\n";

TEST(Mutant, HeaderEndsAtTheFirstEmptyLine) {
  const auto mutant = parse_mutant("x", header + "\n// remark without a key\n@@\n@@\n- a\n");
  ASSERT_TRUE(mutant) << mutant.error().message;
  EXPECT_EQ(mutant->title, "A flush is missing: here");
  EXPECT_EQ(mutant->reached_by, "kvm_zap");
  EXPECT_EQ(mutant->files.size(), 2u);
}

TEST(Mutant, WrongHeadersAreNamed) {
  const auto message = [](const std::string& text) {
    const auto parsed = parse_mutant("x", text);
    return parsed ? std::string() : parsed.error().message;
  };
  EXPECT_NE(message(header + "// tilte: y\n").find("x.cocci:9: unknown key 'tilte'"),
            std::string::npos);
  EXPECT_NE(message("// title: y\n").find("lacks 'breaks'"), std::string::npos);
  EXPECT_NE(message(header + "@@\n").find("x.cocci:9"), std::string::npos);
  EXPECT_NE(message(header + "// file: ../x.c\n").find("not a path"), std::string::npos);
}

TEST(Mutant, BlocksAreAskedOfThoseThatSaySo) {
  EXPECT_FALSE(parse_mutant("x", header)->asks_blocks());
  const auto asked = parse_mutant("x", header + "// property: parallel\n");
  ASSERT_TRUE(asked) << asked.error().message;
  EXPECT_TRUE(asked->asks_blocks());
  const auto wrong = parse_mutant("x", header + "// property: paralel\n");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("x.cocci:9: no property 'paralel'"), std::string::npos);
}

TEST(Mutant, LockstepsOwnParse) {
  const auto all = list_mutants(mutants_folder());
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_GE(all->size(), 25u);
  EXPECT_FALSE(list_mutants("/no/such/folder"));
}

TEST(Mutant, MacroNamesComeBack) {
  const std::string text = "static int FNAME(walk)(void) { return FNAME(go)(XNAME(1)); }";
  EXPECT_EQ(plain_names(text), "static int FNAME_walk(void) { return FNAME_go(XNAME(1)); }");
  EXPECT_EQ(macro_names(plain_names(text)), text);
}

/// A stand-in for spatch: the last word is the file that it edits.
constexpr const char* edit_last = "for f; do :; done\nsed -i 's/old/new/' \"$f\"\n";

TEST(Mutant, PatchIsTheDifference) {
  const TestFolder folder;
  folder.program("bin/spatch", edit_last);
  const auto path = (folder.path() / "bin").string() + ":" + std::getenv("PATH");
  const Variable variable("PATH", path.c_str());
  folder.file("tree/arch/x86/kvm/mmu/mmu.c", "one\nold\nFNAME(three)\n");
  Tree tree;
  tree.path = folder.path() / "tree";
  const auto mutant = parse_mutant("x", header);
  const auto made = mutate(tree, *mutant, folder.path() / "scratch");
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_EQ(made->files.size(), 1u);
  EXPECT_EQ(made->files[0].text, "one\nnew\nFNAME(three)\n");
  EXPECT_EQ(folder.text("tree/arch/x86/kvm/mmu/mmu.c"), "one\nold\nFNAME(three)\n");
  const auto lines = changed_lines(made->patch);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].file, "arch/x86/kvm/mmu/mmu.c");
  EXPECT_EQ(lines[0].removed, std::vector<unsigned>{2});
  EXPECT_EQ(lines[0].added, std::vector<unsigned>{2});
}

TEST(Mutant, AbsentCodeChangesNothing) {
  const TestFolder folder;
  folder.program("bin/spatch", "exit 0\n");
  const auto path = (folder.path() / "bin").string() + ":" + std::getenv("PATH");
  const Variable variable("PATH", path.c_str());
  folder.file("tree/arch/x86/kvm/mmu/mmu.c", "one\n");
  Tree tree;
  tree.path = folder.path() / "tree";
  const auto made = mutate(tree, *parse_mutant("x", header), folder.path() / "scratch");
  ASSERT_TRUE(made);
  EXPECT_TRUE(made->files.empty());
}

TEST(Mutant, TellsWhetherItsFunctionIsThere) {
  const TestFolder folder;
  Tree tree;
  tree.path = folder.path() / "tree";
  auto mutant = *parse_mutant("x", header);
  mutant.reached_by = "kvm_zap_all|zap_all";
  EXPECT_EQ(function_there(tree, mutant).value_or("?"), "");
  folder.file("tree/arch/x86/kvm/mmu/mmu.c", "int a = __zap_all(2);\nint kvm_zap_all;\n");
  EXPECT_EQ(function_there(tree, mutant).value_or("?"), "");
  folder.file("tree/arch/x86/kvm/mmu/mmu.c", "int a = __zap_all(2) + zap_all(3);\n");
  EXPECT_EQ(function_there(tree, mutant).value_or("?"), "zap_all");
}

TEST(Mutant, CoccinelleIsNamedWhereItLacks) {
  const TestFolder folder;
  const Variable variable("PATH", folder.path().c_str());
  folder.file("tree/arch/x86/kvm/mmu/mmu.c", "one\n");
  Tree tree;
  tree.path = folder.path() / "tree";
  const auto made = mutate(tree, *parse_mutant("x", header), folder.path() / "scratch");
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("coccinelle"), std::string::npos) << made.error().message;
}

TEST(ChangedLines, CountEachSideForItself) {
  const auto lines = changed_lines(
      "From: somebody\n--- a/x.c\t2026\n+++ b/x.c\t2026\n"
      "@@ -3,4 +3,4 @@ f()\n context\n-gone\n--- gone too\n+new\n+newer\n context\n"
      "@@ -20 +20,2 @@\n-a\n+b\n+c\n\\ No newline at end of file\n"
      "--- a/y.c\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-1\n-2\n");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].file, "x.c");
  EXPECT_EQ(lines[0].removed, (std::vector<unsigned>{4, 5, 20}));
  EXPECT_EQ(lines[0].added, (std::vector<unsigned>{4, 5, 20, 21}));
  EXPECT_EQ(lines[1].file, "y.c");
  EXPECT_EQ(lines[1].removed, (std::vector<unsigned>{1, 2}));
}

TEST(MutantTree, HoldsOneMutationAtATime) {
  const TestFolder folder;
  tiny_pristine(folder);
  const Cache cache(folder.path() / "cache");
  const auto tree = find_tree(cache, "6.1");
  ASSERT_TRUE(tree) << tree.error().message;
  const std::string name = "arch/x86/kvm/mmu/mmu.c";
  const auto original = read_file(tree->path / name);
  {
    auto held = MutantTree::open(cache, *tree, {});
    ASSERT_TRUE(held) << held.error().message;
    const auto source = held->hold({{{name, "mutated\n"}}, ""});
    ASSERT_TRUE(source) << source.error().message;
    EXPECT_EQ(*read_file(source->path / name), "mutated\n");
    EXPECT_NE(source->key, source->base_key);
  }
  EXPECT_EQ(*read_file(tree->path / name), *original);
  // A run that ended in the middle left its mutation there.
  auto held = MutantTree::open(cache, *tree, {});
  ASSERT_TRUE(held) << held.error().message;
  const auto source = held->hold({});
  ASSERT_TRUE(source) << source.error().message;
  EXPECT_EQ(*read_file(source->path / name), *original);
  EXPECT_GT(std::filesystem::last_write_time(source->path / name),
            std::filesystem::last_write_time(tree->path / name));
}

TEST(MutantTree, HoldsNewFilesAndMissesRemovedOnes) {
  TestFolder folder;
  tiny_tree(folder, "tree");
  const Cache cache(folder.path() / "cache");
  const auto tree = open_tree(folder.path() / "tree");
  ASSERT_TRUE(tree);
  auto held = MutantTree::open(cache, *tree, {}, "review");
  ASSERT_TRUE(held) << held.error().message;
  const std::string mmu = "arch/x86/kvm/mmu/mmu.c";
  ASSERT_TRUE(held->hold_files({{mmu, std::nullopt}, {"virt/kvm/new/new.h", "new\n"}}));
  EXPECT_FALSE(std::filesystem::exists(held->path() / mmu));
  EXPECT_EQ(*read_file(held->path() / "virt/kvm/new/new.h"), "new\n");
  ASSERT_TRUE(held->hold_files({}));
  EXPECT_EQ(*read_file(held->path() / mmu), *read_file(tree->path / mmu));
  EXPECT_FALSE(std::filesystem::exists(held->path() / "virt/kvm/new/new.h"));
}

}  // namespace
}  // namespace lockstep::hw::kernels
