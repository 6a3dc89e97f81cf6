// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/json_output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace lockstep::cli {

nlohmann::json base_object(props::Verdict verdict, double seconds, std::string_view reason) {
  return {{"verdict", props::name(verdict)},
          {"exit", props::exit_code(verdict)},
          {"seconds", seconds},
          {"reason", reason},
          {"findings", nlohmann::json::array()}};
}

nlohmann::json finding_object(const props::Finding& finding, const std::string& program) {
  return {{"engine", finding.engine}, {"kind", props::name(finding.kind)},
          {"invariant", nullptr},     {"title", finding.title},
          {"program", program},       {"new", true}};
}

void JsonOutput::add_to(CLI::App& verb) {
  verb.add_option("--json", target_, "Write the verdict as one JSON object (-: standard output)")
      ->type_name("FILE");
}

std::optional<std::string> JsonOutput::unwritable() const {
  if (target_.empty() || target_ == "-") return std::nullopt;
  const std::filesystem::path path(target_);
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return fmt::format("--json {}: is a directory", target_);
  }
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  if (access(folder.c_str(), W_OK | X_OK) != 0) {
    return fmt::format("--json {}: {}: {}", target_, folder.string(), std::strerror(errno));
  }
  return std::nullopt;
}

std::FILE* JsonOutput::page() const { return target_ == "-" ? stderr : stdout; }

int JsonOutput::write(const nlohmann::json& object, props::Verdict verdict) const {
  if (target_.empty()) return props::exit_code(verdict);
  // Guest memory and file names need not be UTF-8.
  const std::string text =
      object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  bool written = false;
  if (target_ == "-") {
    written = std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  } else {
    std::error_code error;
    const auto status = std::filesystem::symlink_status(target_, error);
    // A device, a pipe or a link stays what it is; a file is replaced whole.
    const bool replace =
        !std::filesystem::exists(status) || status.type() == std::filesystem::file_type::regular;
    const std::string fresh = replace ? fmt::format("{}.new.{}", target_, getpid()) : target_;
    std::ofstream file(fresh, std::ios::binary);
    file << text;
    file.close();
    error.clear();
    if (file && replace) std::filesystem::rename(fresh, target_, error);
    written = file && !error;
  }
  if (written) return props::exit_code(verdict);
  fmt::print(stderr, "lockstep: cannot write the JSON object to {}\n", target_);
  return verdict == props::Verdict::pass ? props::exit_code(props::Verdict::no_verdict)
                                         : props::exit_code(verdict);
}

std::string json_argument(int argc, const char* const* argv) {
  constexpr std::string_view option = "--json";
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == option && i + 1 < argc) return argv[i + 1];
    if (word.starts_with("--json=")) return std::string(word.substr(option.size() + 1));
  }
  return {};
}

int input_error(const std::string& json_target, std::string_view message) {
  fmt::print(stderr, "lockstep: {}{}", message, message.ends_with('\n') ? "" : "\n");
  JsonOutput json;
  json.set_target(json_target);
  return json.write(base_object(props::Verdict::input_error, 0, message),
                    props::Verdict::input_error);
}

}  // namespace lockstep::cli
