// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/apt_index.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <set>

#include "hw/kernels/tree.h"

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view prefix = "linux-source-";
constexpr const char* keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
constexpr auto fresh_for = std::chrono::hours(24);

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const auto end = text.find(separator);
    parts.push_back(text.substr(0, end));
    text = end == std::string_view::npos ? "" : text.substr(end + 1);
  }
  return parts;
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

fs::path configuration(const Cache& cache) { return cache.apt() / "apt.conf"; }

Process apt(const Cache& cache, std::vector<std::string> words) {
  Process process;
  process.words = {words[0], "-c", configuration(cache).string()};
  process.words.insert(process.words.end(), words.begin() + 1, words.end());
  return process;
}

/// Sources of the archives that apt knows, with the suites that newer kernels
/// come from.
Result<std::string> sources() {
  Process process;
  process.words = {"apt-get", "indextargets", "--format",
                   "$(REPO_URI)|$(CODENAME)|$(COMPONENT)|$(LABEL)", "Created-By: Packages"};
  const auto targets = run_or_fail(process);
  if (!targets) return tl::unexpected(targets.error());
  std::error_code error;
  const auto option =
      fs::exists(keyring, error) ? fmt::format("[signed-by={}] ", keyring) : std::string();
  std::set<std::string> lines;
  const auto add = [&](std::string_view uri, std::string_view suite) {
    lines.insert(fmt::format("deb {}{} {} main\n", option, uri, suite));
  };
  for (const auto line : split(targets->out, '\n')) {
    const auto fields = split(line, '|');
    if (fields.size() != 4 || fields[2] != "main" || !fields[3].starts_with("Debian")) continue;
    add(fields[0], fields[1]);
    // Derived suites carry the release's name and a suffix.
    if (fields[3] != "Debian" || fields[1].find('-') != std::string_view::npos) continue;
    add(fields[0], fmt::format("{}-backports", fields[1]));
    add(fields[0], "sid");
    add(fields[0], "experimental");
  }
  if (lines.empty()) {
    return machine_error(
        "apt lists no Debian archive: run apt-get update once, or give the path of a kernel tree");
  }
  return fmt::format("{}", fmt::join(lines, ""));
}

Result<void> write_configuration(const Cache& cache) {
  const auto folder = cache.apt();
  if (folder.string().find_first_of("\"\n") != std::string::npos) {
    return machine_error(
        fmt::format("apt cannot work in '{}': a quote in the path", folder.string()));
  }
  std::error_code error;
  for (const auto* name : {"state/lists/partial", "cache/archives/partial"}) {
    fs::create_directories(folder / name, error);
    if (error)
      return machine_error(fmt::format("{}: {}", (folder / name).string(), error.message()));
  }
  // Hooks of the machine are about its own state. Nothing counts as installed.
  const auto text = fmt::format(
      "#clear APT::Update::Pre-Invoke;\n"
      "#clear APT::Update::Post-Invoke;\n"
      "#clear APT::Update::Post-Invoke-Success;\n"
      "Dir::State \"{0}/state\";\n"
      "Dir::State::Lists \"lists\";\n"
      "Dir::State::status \"{0}/status\";\n"
      "Dir::Cache \"{0}/cache\";\n"
      "Dir::Etc::sourcelist \"{0}/sources.list\";\n"
      "Dir::Etc::sourceparts \"/dev/null\";\n"
      "Dir::Etc::preferences \"/dev/null\";\n"
      "Dir::Etc::preferencesparts \"/dev/null\";\n"
      "Acquire::Languages \"none\";\n"
      "Acquire::AllowInsecureRepositories \"false\";\n"
      "APT::Get::AllowUnauthenticated \"false\";\n"
      "APT::Get::List-Cleanup \"true\";\n",
      folder.string());
  if (auto written = write_file(folder / "status", ""); !written) return written;
  return write_file(configuration(cache), text);
}

bool is_complaint(std::string_view line) {
  // That a file is not apt's own user's is no concern of anybody.
  return line.starts_with("E: ") ||
         (line.starts_with("W: ") && line.find("unsandboxed") == std::string_view::npos);
}

std::vector<std::string> complaints(const Outcome& outcome) {
  std::vector<std::string> lines;
  for (const auto line : split(outcome.err, '\n')) {
    if (is_complaint(line)) lines.emplace_back(line.substr(3));
  }
  return lines;
}

Progress downloads_of(const Progress& progress) {
  return [&progress](std::string_view line) {
    if (progress && (line.starts_with("Get:") || line.starts_with("Fetched "))) progress(line);
  };
}

bool is_fresh(const fs::path& stamp) {
  std::error_code error;
  const auto time = fs::last_write_time(stamp, error);
  return !error && fs::file_time_type::clock::now() - time < fresh_for;
}

Result<std::vector<std::string>> update(const Cache& cache, const Progress& progress) {
  if (progress) progress("asking the Debian archives which kernels there are");
  auto process = apt(cache, {"apt-get", "update"});
  process.on_line = downloads_of(progress);
  const auto outcome = run(process);
  if (!outcome) return tl::unexpected(outcome.error());
  auto said = complaints(*outcome);
  // Ended before it could complain, an update has not made the index fresh.
  if (said.empty() && !outcome->ok()) {
    said.push_back(fmt::format("apt-get update failed: {}", outcome->last_words()));
  }
  return said;
}

/// Suites of the packages, from lines "PACKAGE | VERSION | URI SUITE/main ARCH Packages".
std::string suite_of(std::string_view madison, const SourcePackage& package) {
  for (const auto line : split(madison, '\n')) {
    const auto fields = split(line, '|');
    if (fields.size() != 3 || trimmed(fields[0]) != package.package ||
        trimmed(fields[1]) != package.debian_version) {
      continue;
    }
    const auto words = split(trimmed(fields[2]), ' ');
    if (words.size() >= 2) return std::string(words[1].substr(0, words[1].find('/')));
  }
  return {};
}

Result<std::vector<SourcePackage>> packages(const Cache& cache) {
  const auto names = run_or_fail(apt(cache, {"apt-cache", "pkgnames", std::string(prefix)}));
  if (!names) return tl::unexpected(names.error());
  std::vector<std::string> wanted;
  for (const auto name : split(names->out, '\n')) {
    if (name.starts_with(prefix) && is_version(name.substr(prefix.size())))
      wanted.emplace_back(name);
  }
  std::vector<SourcePackage> all;
  if (wanted.empty()) return all;
  std::vector<std::string> show = {"apt-cache", "show", "--no-all-versions"};
  show.insert(show.end(), wanted.begin(), wanted.end());
  std::vector<std::string> madison = {"apt-cache", "madison"};
  madison.insert(madison.end(), wanted.begin(), wanted.end());
  const auto shown = run_or_fail(apt(cache, show));
  if (!shown) return tl::unexpected(shown.error());
  const auto places = run_or_fail(apt(cache, madison));
  if (!places) return tl::unexpected(places.error());
  SourcePackage package;
  const auto finish = [&] {
    if (!package.package.empty() && !package.debian_version.empty()) {
      package.version = package.package.substr(prefix.size());
      package.suite = suite_of(places->out, package);
      all.push_back(std::move(package));
    }
    package = {};
  };
  for (const auto line : split(shown->out, '\n')) {
    const auto colon = line.find(": ");
    const auto key = line.substr(0, colon);
    const auto value = colon == std::string_view::npos ? "" : line.substr(colon + 2);
    if (line.empty()) finish();
    if (key == "Package") package.package = value;
    if (key == "Version") package.debian_version = value;
    if (key == "Size") {
      std::from_chars(value.data(), value.data() + value.size(), package.bytes);
    }
  }
  finish();
  std::ranges::sort(all, [](const auto& a, const auto& b) { return older(a.version, b.version); });
  return all;
}

}  // namespace

const SourcePackage* AptIndex::find(std::string_view version) const {
  const auto found = std::ranges::find(packages, version, &SourcePackage::version);
  return found == packages.end() ? nullptr : &*found;
}

Result<AptIndex> read_apt_index(const Cache& cache, bool refresh, const Progress& progress) {
  const auto lines = sources();
  if (!lines) return tl::unexpected(lines.error());
  const auto lock = Lock::take(cache.apt() / "lock", progress);
  if (!lock) return tl::unexpected(lock.error());
  const auto before = read_file(cache.apt() / "sources.list");
  const fs::path stamp = cache.apt() / "updated";
  const bool stale = refresh || !before || *before != *lines || !is_fresh(stamp);
  AptIndex index;
  if (stale) {
    if (const auto room = require_space(cache.apt(), 200'000'000, "the index of Debian's packages");
        !room) {
      return tl::unexpected(room.error());
    }
    if (auto written = write_configuration(cache); !written) {
      return tl::unexpected(written.error());
    }
    auto written = write_file(cache.apt() / "sources.list", *lines);
    if (!written) return tl::unexpected(written.error());
    auto said = update(cache, progress);
    if (!said) return tl::unexpected(said.error());
    index.warnings = std::move(*said);
  }
  auto found = packages(cache);
  if (!found) return tl::unexpected(found.error());
  index.packages = std::move(*found);
  if (index.packages.empty()) {
    return machine_error(fmt::format("no kernel source could be found in the Debian archives{}{}",
                                     index.warnings.empty() ? "" : ":\n",
                                     fmt::join(index.warnings, "\n")));
  }
  // An index with holes is asked for again next time.
  if (stale && index.warnings.empty()) {
    if (auto written = write_file(stamp, ""); !written) return tl::unexpected(written.error());
  }
  return index;
}

Result<fs::path> download_package(const Cache& cache, const SourcePackage& package,
                                  const fs::path& folder, const Progress& progress) {
  if (progress) {
    progress(fmt::format("downloading {} {} ({})", package.package, package.debian_version,
                         human_bytes(package.bytes)));
  }
  std::error_code error;
  fs::create_directories(folder, error);
  auto process = apt(cache, {"apt-get", "download",
                             fmt::format("{}={}", package.package, package.debian_version)});
  process.folder = folder;
  const auto outcome = run(process);
  if (!outcome) return tl::unexpected(outcome.error());
  if (!outcome->ok()) {
    const auto said = complaints(*outcome);
    return machine_error(fmt::format(
        "{} could not be downloaded:\n{}", package.package,
        said.empty() ? outcome->last_words() : fmt::format("{}", fmt::join(said, "\n"))));
  }
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".deb") return entry.path();
  }
  return machine_error(
      fmt::format("{}: apt left no package in {}", package.package, folder.string()));
}

}  // namespace lockstep::hw::kernels
