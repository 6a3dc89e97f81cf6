// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/build.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <thread>

#include "hw/kernels/diagnostics.h"
#include "hw/kernels/warm_start.h"

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;
namespace {

constexpr const char* wishes_name = "lockstep.config";
constexpr const char* kvm_folder = "arch/x86/kvm/";

std::string compiler() { return installed("ccache") ? "ccache gcc" : "gcc"; }

std::string_view trimmed(std::string_view line) {
  while (line.starts_with(' ')) line.remove_prefix(1);
  return line;
}

}  // namespace

std::string Flavour::key() const {
  const auto text = fmt::format("{}\n--\n{}\n--\n{}", fmt::join(fragments, "\n"),
                                fmt::join(cflags, " "), fmt::join(aflags, " "));
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
  }
  fs::create_directories(folder, error);
  if (error) return machine_error(fmt::format("{}: {}", folder.string(), error.message()));
  Build build(std::move(*lock), folder, std::move(source), std::move(flavour));
  if (const auto done = build.configure(progress); !done) return tl::unexpected(done.error());
  return build;
}

Result<void> Build::run_make(std::vector<std::string> words, std::vector<std::string> environment,
                             const Progress& progress) const {
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
  process.words.insert(process.words.end(), words.begin(), words.end());
  process.environment = std::move(environment);
  // Scripts of the tree must not leave compiled copies in it.
  process.environment.emplace_back("PYTHONDONTWRITEBYTECODE=1");
  process.on_line = [&progress](std::string_view line) {
    if (progress && line.starts_with("  ")) progress(trimmed(line));
  };
  const auto outcome = run(process);
  if (!outcome) return tl::unexpected(outcome.error());
  if (outcome->ok()) return {};
  auto reason = first_error(outcome->err, source_.path);
  if (reason.empty()) reason = first_error(outcome->out, source_.path);
  const bool compiles = reason.find("rror: ") != std::string::npos;
  return input_error(fmt::format("linux {}{} does not {}:\n{}", source_.tree.release,
                                 source_.key == source_.base_key ? "" : " with the patch",
                                 compiles ? "compile" : "build", reason));
}

Result<void> Build::configure(const Progress& progress) {
  const auto wishes = merge_fragments(flavour_.fragments);
  if (!wishes) return tl::unexpected(wishes.error());
  const auto text = write_fragment(*wishes);
  const fs::path wishes_file = folder_ / wishes_name;
  const fs::path config_file = folder_ / ".config";
  std::error_code error;
  const auto before = read_file(wishes_file);
  if (!before || *before != text || !fs::exists(config_file, error)) {
    if (progress) progress(fmt::format("configuring linux {}", source_.tree.release));
    fs::remove(wishes_file, error);
    const fs::path fresh = folder_ / "lockstep.config.new";
    if (const auto written = write_file(fresh, text); !written) return written;
    const auto made =
        run_make({"allnoconfig"}, {fmt::format("KCONFIG_ALLCONFIG={}", fresh.string())}, progress);
    if (!made) return made;
    const auto config = read_file(config_file);
    if (!config) return tl::unexpected(config.error());
    if (const auto refused = refused_wishes(*wishes, *config, source_.path); !refused.empty()) {
      return input_error(fmt::format("linux {} cannot be configured as wanted:\n{}",
                                     source_.tree.release, fmt::join(refused, "\n")));
    }
    fs::rename(fresh, wishes_file, error);
  }
  auto config = read_file(config_file);
  if (!config) return tl::unexpected(config.error());
  config_ = std::move(*config);
  return {};
}

Result<void> Build::make(const std::vector<std::string>& targets, const Progress& progress) {
  return run_make(targets, {}, progress);
}

Result<std::vector<std::string>> Build::make_kvm(const Progress& progress) {
  if (const auto made = make({kvm_folder}, progress); !made) return tl::unexpected(made.error());
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
    objects.push_back(member.lexically_normal().string());
    rest = newline == std::string_view::npos ? "" : rest.substr(newline + 1);
  }
  if (objects.empty()) {
    return machine_error(fmt::format("{}: no objects in {}built-in.a; is CONFIG_KVM y?",
                                     folder_.string(), kvm_folder));
  }
  return objects;
}

}  // namespace lockstep::hw::kernels
