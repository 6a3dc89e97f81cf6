// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/build.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <thread>

#include "hw/kernels/diagnostics.h"
#include "hw/kernels/sandbox.h"
#include "hw/kernels/warm_start.h"

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;
namespace {

constexpr const char* kvm_folder = "arch/x86/kvm/";

/// What a build folder comes to with the largest debugging options.
constexpr std::uint64_t build_bytes = 200'000'000;

std::string compiler() { return installed("ccache") ? "ccache gcc" : "gcc"; }

std::string_view trimmed(std::string_view line) {
  while (line.starts_with(' ')) line.remove_prefix(1);
  return line;
}

}  // namespace

std::string Flavour::key() const {
  auto text = fmt::format("{}\n--\n{}\n--\n{}", fmt::join(fragments, "\n"), fmt::join(cflags, " "),
                          fmt::join(aflags, " "));
  if (!variables.empty()) text += fmt::format("\n--\n{}", fmt::join(variables, " "));
  return fmt::format("{}-{}", name, content_key(text).substr(0, 8));
}

Result<Build> Build::open(const Cache& cache, Source source, Flavour flavour,
                          const Progress& progress) {
  const auto folder_key = [&flavour](const std::string& key) {
    return fmt::format("{}-{}", key, flavour.key());
  };
  const fs::path folder = cache.build(folder_key(source.key));
  auto lock = Lock::take(folder.string() + ".lock", progress);
  if (!lock) return tl::unexpected(lock.error());
  std::error_code error;
  if (source.key != source.base_key && !fs::exists(folder, error)) {
    const auto warm = cache.build(folder_key(source.base_key));
    const auto started = start_warm(warm, source.base_path, folder, source.path, progress);
    if (!started) return tl::unexpected(started.error());
    // The base may have been compiled after these files were written.
    for (const auto& name : source.changed) {
      fs::last_write_time(source.path / name, fs::file_time_type::clock::now(), error);
    }
  }
  if (const auto room = require_space(folder, build_bytes, "a build"); !room) {
    return tl::unexpected(room.error());
  }
  fs::create_directories(folder, error);
  if (error) return machine_error(fmt::format("{}: {}", folder.string(), error.message()));
  Build build(std::move(*lock), folder, std::move(source), std::move(flavour));
  if (const auto done = build.configure(progress); !done) return tl::unexpected(done.error());
  return build;
}

Result<void> Build::run_make(std::vector<std::string> words, std::vector<std::string> environment,
                             const Progress& progress) {
  Process process;
  process.words = {"make",
                   "-C",
                   source_.path.string(),
                   fmt::format("O={}", folder_.string()),
                   fmt::format("CC={}", compiler()),
                   fmt::format("KCFLAGS={}", fmt::join(flavour_.cflags, " ")),
                   fmt::format("KAFLAGS={}", fmt::join(flavour_.aflags, " ")),
                   fmt::format("-j{}", std::max(1U, std::thread::hardware_concurrency())),
                   "--no-print-directory",
                   "--output-sync=target"};
  process.words.insert(process.words.end(), flavour_.variables.begin(), flavour_.variables.end());
  // A patch may break more than one file.
  if (source_.key != source_.base_key) process.words.emplace_back("--keep-going");
  process.words.insert(process.words.end(), words.begin(), words.end());
  process.environment = std::move(environment);
  // Scripts of the tree must not leave compiled copies in it.
  process.environment.emplace_back("PYTHONDONTWRITEBYTECODE=1");
  process.on_line = [&progress](std::string_view line) {
    if (progress && line.starts_with("  ")) progress(trimmed(line));
  };
  const auto guarded_process = guarded(std::move(process), folder_);
  if (!guarded_process) return tl::unexpected(guarded_process.error());
  const auto outcome = run(*guarded_process);
  if (!outcome) return tl::unexpected(outcome.error());
  said_ = outcome->err;
  if (outcome->ok()) return {};
  // Whoever ended it, the tree has not been judged.
  if (constexpr int by_signal = 128; outcome->status >= by_signal) {
    return machine_error(fmt::format("the build of linux {} was ended by signal {}",
                                     source_.tree.release, outcome->status - by_signal));
  }
  // A full disk breaks any tree.
  if (const auto full = line_about(outcome->err + outcome->out, "No space left on device");
      !full.empty()) {
    return machine_error(fmt::format("linux {} cannot be built: {}", source_.tree.release, full));
  }
  auto reason = first_error(outcome->err, source_.path);
  if (reason.empty()) reason = first_error(outcome->out, source_.path);
  if (const auto package = missing_package(outcome->err + outcome->out); !package.empty()) {
    return machine_error(fmt::format("linux {} cannot be built: {}\napt-get install {}",
                                     source_.tree.release, reason, package));
  }
  const bool compiles = reason.find("rror: ") != std::string::npos;
  return input_error(fmt::format("linux {}{} does not {}:\n{}", source_.tree.release,
                                 source_.key == source_.base_key ? "" : " with the patch",
                                 compiles ? "compile" : "build", reason));
}

Result<Process> Build::guarded(Process process, const fs::path& output) const {
  if (!source_.untrusted) return process;
  process.readable = {source_.path, source_.base_path, fs::path(LOCKSTEP_SOURCE_DIR)};
  return sandboxed(std::move(process), {folder_, output});
}

Result<void> Build::make(const std::vector<std::string>& targets, const Progress& progress) {
  return run_make(targets, {}, progress);
}

Result<std::vector<std::string>> Build::make_kvm(const Progress& progress,
                                                 const std::vector<std::string>& more) {
  std::vector<std::string> targets = {kvm_folder};
  targets.insert(targets.end(), more.begin(), more.end());
  if (auto made = make(targets, progress); !made) return tl::unexpected(made.error());
  Process list;
  list.words = {"ar", "t", fmt::format("{}built-in.a", kvm_folder)};
  list.folder = folder_;
  const auto listed = run_or_fail(list);
  if (!listed) return tl::unexpected(listed.error());
  std::vector<std::string> objects;
  for (std::string_view rest = listed->out; !rest.empty();) {
    const auto newline = rest.find('\n');
    // KVM's Makefile reaches virt/kvm by way of "..".
    const fs::path member(rest.substr(0, newline));
    auto name = member.lexically_normal().string();
    // They become words of a linker's command line.
    if (!name.ends_with(".o") || name.starts_with('-') || name.starts_with('@') ||
        name.starts_with('/') || name.starts_with("..")) {
      return input_error(fmt::format("'{}' is no object of KVM's", name));
    }
    objects.push_back(std::move(name));
    rest = newline == std::string_view::npos ? "" : rest.substr(newline + 1);
  }
  if (objects.empty()) {
    return machine_error(fmt::format("{}: no objects in {}built-in.a; is CONFIG_KVM y?",
                                     folder_.string(), kvm_folder));
  }
  return objects;
}

}  // namespace lockstep::hw::kernels
