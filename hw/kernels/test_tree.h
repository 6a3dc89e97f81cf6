// SPDX-License-Identifier: GPL-2.0-or-later
/// For tests: a folder of their own, a tree with a makefile that stands for
/// kbuild, programs that stand for apt's.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "hw/kernels/cache.h"

namespace lockstep::hw::kernels {

class TestFolder {
 public:
  TestFolder() {
    static int number = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("lockstep-kernels-test-" + std::to_string(getpid()) + "-" + std::to_string(++number));
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  ~TestFolder() { std::filesystem::remove_all(path_); }

  const std::filesystem::path& path() const { return path_; }

  std::filesystem::path file(const std::string& name, const std::string& text) const {
    const auto target = path_ / name;
    std::filesystem::create_directories(target.parent_path());
    std::ofstream(target, std::ios::binary) << text;
    return target;
  }
  /// An executable shell script.
  void program(const std::string& name, const std::string& script) const {
    std::filesystem::permissions(file(name, "#!/bin/sh\n" + script),
                                 std::filesystem::perms::owner_all);
  }
  std::string text(const std::string& name) const {
    return lockstep::hw::kernels::read_file(path_ / name).value_or("(unreadable)");
  }
  bool has(const std::string& name) const { return std::filesystem::exists(path_ / name); }

 private:
  std::filesystem::path path_;
};

/// An environment variable for as long as the object lives.
class Variable {
 public:
  Variable(std::string name, const char* value) : name_(std::move(name)) {
    const char* before = std::getenv(name_.c_str());
    was_set_ = before != nullptr;
    if (was_set_) before_ = before;
    set(value);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { set(was_set_ ? before_.c_str() : nullptr); }

 private:
  void set(const char* value) const {
    if (value != nullptr) {
      setenv(name_.c_str(), value, 1);
    } else {
      unsetenv(name_.c_str());
    }
  }
  std::string name_, before_;
  bool was_set_ = false;
};

/// Lines of the tree's mmu.c, enough for hunks with context.
inline std::string tiny_mmu() {
  std::string text;
  for (int i = 1; i <= 40; ++i) text += "/* line " + std::to_string(i) + " */\n";
  return text + "int mmu(void) { return LEVEL; }\n";
}

/// A tree of three C files below `name`, with a makefile that takes kbuild's
/// options and targets, and appends each compiled file to $(O)/compiled.
inline std::filesystem::path tiny_tree(const TestFolder& folder, const std::string& name,
                                       const std::string& sublevel = "7") {
  const auto file = [&](const std::string& path, const std::string& text) {
    folder.file(name + "/" + path, text);
  };
  file("Makefile",
       "# SPDX-License-Identifier: GPL-2.0\n"
       "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = " +
           sublevel +
           "\nEXTRAVERSION =\nNAME = Curry Ramen\n"
           "objects := virt/kvm/kvm_main.o arch/x86/kvm/x86.o arch/x86/kvm/mmu/mmu.o\n"
           "built := $(addprefix $(O)/,$(objects))\n"
           "allnoconfig:\n"
           "\tgrep -v REFUSED $(KCONFIG_ALLCONFIG) > $(O)/.config\n"
           "\tmkdir -p $(O)/include/config; echo allnoconfig >> $(O)/configured\n"
           "\tprintf 'deps_config := \\\n\tarch/x86/kvm/Kconfig \\\n' > "
           "$(O)/include/config/auto.conf.cmd\n"
           "arch/x86/kvm/: $(O)/arch/x86/kvm/built-in.a ;\n"
           "$(O)/arch/x86/kvm/built-in.a: $(built)\n"
           "\tcd $(O) && rm -f $@ && ar cDPrST arch/x86/kvm/built-in.a "
           "arch/x86/kvm/../../../virt/kvm/kvm_main.o "
           "arch/x86/kvm/x86.o arch/x86/kvm/mmu/mmu.o\n"
           "$(O)/%.o: $(CURDIR)/%.c\n"
           "\t@echo '  CC      '$*.o; echo $* >> $(O)/compiled; mkdir -p $(@D)\n"
           "\tcd $(O) && gcc $(KCFLAGS) -Wp,-MMD,$(@D)/.$(@F).d -DNAME='\"a b\"' "
           "-I$(CURDIR)/include -c -o $*.o $(CURDIR)/$*.c\n"
           "\t@echo \"savedcmd_$*.o := gcc $(KCFLAGS) -Wp,-MMD,$*.o.d -DNAME='\\\"a b\\\"' "
           "-I$(CURDIR)/include -c -o $*.o $(CURDIR)/$*.c ; ./objtool $*.o\" > $(@D)/.$(@F).cmd\n");
  file("include/level.h", "#define LEVEL 4\n");
  file("arch/x86/kvm/mmu/mmu.c", "#include \"level.h\"\n" + tiny_mmu());
  file("arch/x86/kvm/x86.c", "int x86(void) { return 1; }\n");
  file("arch/x86/kvm/Kconfig",
       "config KVM\n\tbool\nmenuconfig REFUSED\n\tbool\nconfig REFUSED_TOO\n\tbool\n");
  file("virt/kvm/kvm_main.c", "int kvm_main(void) { return 0; }\n");
  file("drivers/gpu/big.c", "int big;\n");
  file("drivers/gpu/Kconfig", "config GPU\n\tbool\n");
  file("Documentation/kvm.rst", "text\n");
  return folder.path() / name;
}

/// The same in the cache, as version 6.1.
inline std::filesystem::path tiny_pristine(const TestFolder& folder) {
  return tiny_tree(folder, "cache/source/linux-6.1");
}

}  // namespace lockstep::hw::kernels
