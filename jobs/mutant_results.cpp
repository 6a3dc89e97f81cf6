// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/mutant_results.h"

namespace lockstep::jobs {
namespace {

namespace kernels = hw::kernels;

std::filesystem::path file_of(const kernels::Cache& cache, const std::string& release) {
  return cache.root() / "mutants" / (release + ".json");
}

/// An object by name; whatever is no such thing counts as nothing.
nlohmann::json read(const kernels::Cache& cache, const std::string& release) {
  const auto text = kernels::read_file(file_of(cache, release));
  if (!text) return nlohmann::json::object();
  auto object = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  return object.is_object() ? object : nlohmann::json::object();
}

bool flag(const nlohmann::json& row, const char* key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_boolean() && found->get<bool>();
}

}  // namespace

kernels::Result<void> keep_results(const kernels::Cache& cache, const std::string& release,
                                   const nlohmann::json& rows) {
  auto all = read(cache, release);
  for (const auto& row : rows) {
    const auto name = row.value("name", std::string());
    if (name.empty() || row.value("state", std::string("ran")) != "ran") continue;
    all[name] = {{"reached", flag(row, "reached")}, {"detected", flag(row, "detected")}};
  }
  const auto file = file_of(cache, release);
  std::error_code error;
  std::filesystem::create_directories(file.parent_path(), error);
  return kernels::write_file(file, all.dump(1) + "\n");
}

std::map<std::string, MutantResult> kept_results(const kernels::Cache& cache,
                                                 const std::string& release) {
  std::map<std::string, MutantResult> results;
  const auto all = read(cache, release);
  for (const auto& [name, row] : all.items()) {
    if (row.is_object()) results[name] = {flag(row, "reached"), flag(row, "detected")};
  }
  return results;
}

}  // namespace lockstep::jobs
