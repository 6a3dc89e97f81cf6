// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/sandbox.h"

#include <fmt/format.h>

#include <cstdlib>

namespace lockstep::hw::kernels {
namespace {

namespace fs = std::filesystem;

/// Folders whose contents nothing in a build may see.
std::vector<std::string> hidden_folders() {
  std::vector<std::string> hidden = {"/tmp", "/run", "/var/tmp", "/dev/shm"};
  const char* const home = std::getenv("HOME");
  if (home != nullptr && *home == '/' && std::string_view(home) != "/") hidden.emplace_back(home);
  return hidden;
}

std::vector<std::string> bubblewrap(const SandboxLimits& limits) {
  std::vector<std::string> words = {"prlimit", fmt::format("--cpu={}", limits.cpu_seconds),
                                    fmt::format("--fsize={}", limits.file_bytes), "--core=0"};
  if (limits.address_space != 0) words.push_back(fmt::format("--as={}", limits.address_space));
  words.insert(words.end(), {"bwrap", "--unshare-all", "--die-with-parent", "--new-session",
                             "--cap-drop", "ALL", "--uid", "65534", "--gid", "65534", "--ro-bind",
                             "/", "/", "--dev", "/dev", "--proc", "/proc"});
  std::error_code error;
  for (const auto& folder : hidden_folders()) {
    if (!fs::is_directory(folder, error)) continue;
    words.insert(words.end(), {"--tmpfs", folder});
  }
  return words;
}

}  // namespace

bool sandbox_works() {
  static const bool works = [] {
    if (!installed("bwrap") || !installed("prlimit")) return false;
    Process trial;
    trial.words = bubblewrap({});
    trial.words.insert(trial.words.end(), {"--", "true"});
    const auto outcome = run(trial);
    return outcome && outcome->ok();
  }();
  return works;
}

Result<Process> sandboxed(Process process, const std::vector<fs::path>& writable,
                          const SandboxLimits& limits) {
  if (!sandbox_works()) {
    return machine_error(
        "a patch that changes how the kernel is built runs in a sandbox only, and there is none: "
        "apt-get install bubblewrap (and allow user namespaces)");
  }
  auto words = bubblewrap(limits);
  for (const auto& folder : process.readable) {
    words.insert(words.end(), {"--ro-bind", folder.string(), folder.string()});
  }
  for (const auto& folder : writable) {
    words.insert(words.end(), {"--bind", folder.string(), folder.string()});
  }
  if (!process.folder.empty()) words.insert(words.end(), {"--chdir", process.folder.string()});
  words.emplace_back("--");
  words.insert(words.end(), process.words.begin(), process.words.end());
  process.words = std::move(words);
  // What it compiles must not serve other builds.
  process.environment.emplace_back("CCACHE_DISABLE=1");
  return process;
}

}  // namespace lockstep::hw::kernels
