// SPDX-License-Identifier: GPL-2.0-or-later
/// A kernel's objects, compiled by the kernel's own kbuild and kept warm.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "hw/kernels/cache.h"
#include "hw/kernels/config.h"
#include "hw/kernels/process.h"
#include "hw/kernels/source.h"

namespace lockstep::hw::kernels {

/// What sets one build of a source apart from another.
struct Flavour {
  std::string name;                    ///< names the folder, beside a hash of the rest
  std::vector<std::string> fragments;  ///< texts, later ones win; usually hosted_fragment() first
  std::vector<std::string> cflags;  ///< for every C file of the kernel (KCFLAGS); no blanks in one
  std::vector<std::string> aflags;  ///< the same for assembler files (KAFLAGS)
  /// Variables of kbuild's, as NAME=VALUE: what makefiles of the tree set does not count.
  std::vector<std::string> variables = {};

  /// Name and hash: equal flavours build the same from the same source.
  std::string key() const;
};

/// A command as kbuild runs it.
struct CompileCommand {
  std::vector<std::string> words;
  std::filesystem::path folder;  ///< where it runs: its paths are relative to that
};

/// An object tree, configured, and locked against other processes while it lives.
class Build {
 public:
  /// Open or make the folder of this source and flavour and see that it is
  /// configured. A patched source whose tree was built without the patch starts
  /// from a copy of that build. Errors: what kconfig refused of the fragments, by
  /// symbol; what make said.
  static Result<Build> open(const Cache& cache, Source source, Flavour flavour,
                            const Progress& progress);

  /// Have kbuild make the targets: "arch/x86/kvm/mmu/mmu.o", or folders as
  /// "arch/x86/kvm/". An input error quotes the compiler's first error with the
  /// kernel's own file:line.
  Result<void> make(const std::vector<std::string>& targets, const Progress& progress);

  /// Make all of arch/x86/kvm and virt/kvm, and `more` targets beside, and name the
  /// objects of KVM, in link order, relative to folder(): kvm itself and the module
  /// of each vendor.
  Result<std::vector<std::string>> make_kvm(const Progress& progress,
                                            const std::vector<std::string>& more = {});

  /// The command that kbuild recorded for an object that it made, to compile
  /// another `input` with the same flags to `output`, the words of `more` last among
  /// the flags. Both paths must be absolute. The dependencies go to `output`.d.
  Result<CompileCommand> command_like(const std::string& object, const std::filesystem::path& input,
                                      const std::filesystem::path& output,
                                      const std::vector<std::string>& more = {}) const;

  /// Run command_like(). An input error quotes the compiler's first error.
  Result<void> compile_like(const std::string& object, const std::filesystem::path& input,
                            const std::filesystem::path& output,
                            const std::vector<std::string>& more, const Progress& progress) const;

  /// What the compiler said when make() last ran: errors and warnings of what it
  /// compiled then, also where all went well.
  const std::string& said() const { return said_; }

  const std::filesystem::path& folder() const { return folder_; }
  const Source& source() const { return source_; }
  const Flavour& flavour() const { return flavour_; }
  /// The text of the .config that holds.
  const std::string& config() const { return config_; }

 private:
  Build(Lock lock, std::filesystem::path folder, Source source, Flavour flavour)
      : lock_(std::move(lock)),
        folder_(std::move(folder)),
        source_(std::move(source)),
        flavour_(std::move(flavour)) {}

  Result<void> configure(const Progress& progress);
  Result<void> run_make(std::vector<std::string> words, std::vector<std::string> environment,
                        const Progress& progress);
  /// The process, in a sandbox if the source is untrusted; it may write `output` too.
  Result<Process> guarded(Process process, const std::filesystem::path& output) const;

  Lock lock_;
  std::filesystem::path folder_;
  Source source_;
  Flavour flavour_;
  std::string config_;
  std::string said_;
};

/// The words of a kbuild .cmd file's first command, as a shell would split them.
/// Empty if there is none.
std::vector<std::string> recorded_words(std::string_view cmd_file);

}  // namespace lockstep::hw::kernels
