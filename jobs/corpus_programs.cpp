// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/corpus_programs.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "hw/kernels/cache.h"

namespace lockstep::jobs {
namespace fs = std::filesystem;
namespace {

/// Each engine is told by these what the host is.
std::vector<std::pair<std::string, HostParameters>> hosts() {
  std::vector<std::pair<std::string, HostParameters>> all;
  for (const auto vendor : {Vendor::amd, Vendor::intel}) {
    const std::string name = vendor == Vendor::amd ? "amd" : "intel";
    HostParameters host;
    host.vendor = vendor;
    all.emplace_back(name, host);
    host.tdp_mmu = false;
    all.emplace_back(name + " tdp-mmu=off", host);
    host.tdp_mmu.reset();
    host.nx_huge_pages = true;
    host.eager_page_split = false;
    all.emplace_back(name + " nx-huge-pages=on eager-split=off", host);
  }
  return all;
}

}  // namespace

std::vector<NamedProgram> corpus_programs(const fs::path& folder) {
  std::vector<NamedProgram> programs;
  std::vector<fs::path> files;
  std::error_code error;
  for (auto at = fs::recursive_directory_iterator(folder, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    if (at->path().extension() == ".lockstep") files.push_back(at->path());
  }
  std::ranges::sort(files);
  std::vector<std::pair<std::string, Program>> read;
  for (const auto& file : files) {
    const auto text = hw::kernels::read_file(file);
    auto program = text ? parse(*text) : tl::unexpected(ParseError{});
    if (!program) continue;
    // What the text expects may be meant for other engines.
    for (auto& step : program->steps) step.expected.reset();
    read.emplace_back(file.lexically_relative(folder).string(), *std::move(program));
  }
  // Every program once before any is run again elsewhere.
  const auto variants = hosts();
  for (std::size_t i = 0; i < variants.size() + 2; ++i) {
    for (const auto& [name, program] : read) {
      auto variant = program;
      const bool shadow = i >= variants.size();
      if (shadow && program.configuration.mmu != MmuKind::any) continue;
      if (!shadow && i > 0 && program.configuration.mmu == MmuKind::shadow && i % 3 != 0) continue;
      const auto& host = variants[shadow ? (i - variants.size()) * 3 : i];
      variant.configuration.host = host.second;
      if (shadow) variant.configuration.mmu = MmuKind::shadow;
      programs.push_back({fmt::format("{} ({}{})", name, host.first, shadow ? " shadow" : ""),
                          std::move(variant)});
    }
  }
  return programs;
}

}  // namespace lockstep::jobs
