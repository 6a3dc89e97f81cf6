// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/second_solver.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

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

SecondOpinion judge(const ChildResult& child) {
  SecondOpinion opinion;
  opinion.cpu_seconds = child.cpu_seconds;
  opinion.kind = SecondOpinion::Kind::failed;
  if (child.end == ChildResult::End::timed_out) opinion.kind = SecondOpinion::Kind::timeout;
  const std::string word = child.output.substr(0, child.output.find('\n'));
  if (word == "unsat") opinion.kind = SecondOpinion::Kind::agrees;
  if (word == "sat") opinion.kind = SecondOpinion::Kind::disagrees;
  if (word.find("timeout") != word.npos) opinion.kind = SecondOpinion::Kind::timeout;
  if (opinion.kind == SecondOpinion::Kind::failed) opinion.reason = word;
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

SecondOpinion second_opinion(const std::vector<Bool>& terms, std::chrono::milliseconds limit,
                             const std::atomic<bool>* stop) {
  const std::string solver = second_solver_path();
  if (solver.empty()) return {};
  const ScriptFile script(smtlib(terms, "unknown", ""));
  if (script.path().empty()) {
    return {SecondOpinion::Kind::failed, 0, "no temporary file could be written"};
  }
  return judge(run_limited_child(
      [&](int fd) {
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        execl(solver.c_str(), solver.c_str(), script.path().c_str(), nullptr);
        _exit(127);
      },
      limit, stop));
}

}  // namespace lockstep::smt
