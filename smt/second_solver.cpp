// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/second_solver.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>

#include "smt/limited_child.h"
#include "smt/smtlib.h"

namespace lockstep::smt {
namespace {

namespace fs = std::filesystem;

/// A file that goes away with its owner.
class ScriptFile {
 public:
  explicit ScriptFile(const std::string& text) {
    std::string pattern = (fs::temp_directory_path() / "lockstep-XXXXXX.smt2").string();
    const int fd = mkstemps(pattern.data(), 5);
    if (fd < 0) return;
    close(fd);
    path_ = pattern;
    std::ofstream(path_) << text;
  }
  ~ScriptFile() {
    std::error_code error;
    if (!path_.empty()) fs::remove(path_, error);
  }
  ScriptFile(const ScriptFile&) = delete;
  ScriptFile& operator=(const ScriptFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// The first word of a solver that got as far as to answer; else why it did not.
SecondOpinion judge(const ChildResult& child) {
  using Kind = SecondOpinion::Kind;
  using End = ChildResult::End;
  const std::string word = child.output.substr(0, child.output.find('\n'));
  const auto says = [&](std::string_view text) { return child.output.find(text) != word.npos; };
  SecondOpinion opinion{.kind = Kind::failed, .cpu_seconds = child.cpu_seconds, .reason = word};
  if (child.end == End::interrupted) {
    opinion.kind = Kind::interrupted;
  } else if (child.end == End::timed_out) {
    opinion.kind = Kind::timeout;
  } else if (child.end == End::exited && child.status == 0 && word == "unsat") {
    opinion.kind = Kind::agrees;
  } else if (child.end == End::exited && child.status == 0 && word == "sat") {
    opinion.kind = Kind::disagrees;
  } else if (says("bad_alloc") || says("memory")) {
    opinion.kind = Kind::memory;
  } else if (child.end == End::killed) {
    opinion.reason = fmt::format("it died of signal {} {}", child.status, word);
  } else if (child.end == End::not_started) {
    opinion.reason = "it was not started";
  } else if (word.empty()) {
    opinion.reason = fmt::format("it ended with {} and said nothing", child.status);
  }
  return opinion;
}

}  // namespace

std::string second_solver_path() {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const auto file = fs::path(folder) / "cvc5";
    if (access(file.c_str(), X_OK) == 0) return file.string();
  }
  return {};
}

SecondOpinion second_opinion(const std::vector<Bool>& terms, const Limits& limits) {
  const std::string solver = second_solver_path();
  if (solver.empty()) return {};
  const ScriptFile script(smtlib(terms, "unknown", ""));
  if (script.path().empty()) {
    return {SecondOpinion::Kind::failed, 0, "no temporary file could be written"};
  }
  return judge(run_limited_child(
      [&](int fd) {
        const rlim_t bytes = rlim_t{limits.memory_mib} << 20;
        const rlimit most = {bytes, bytes};
        if (setrlimit(RLIMIT_AS, &most) != 0) _exit(126);
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        execl(solver.c_str(), solver.c_str(), script.path().c_str(), nullptr);
        _exit(127);
      },
      limits.time, limits.stop));
}

}  // namespace lockstep::smt
