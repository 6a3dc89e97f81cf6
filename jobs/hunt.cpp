// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/hunt.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace lockstep::jobs {
namespace {

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

/// utime, stime, cutime and cstime of /proc/PID/stat, in seconds.
double cpu_seconds_of(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string text;
  std::getline(file, text);
  // The name in parentheses may hold anything.
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  long sum = 0;
  for (int i = 0; i < 4; ++i) {
    long ticks = 0;
    fields >> ticks;
    sum += ticks;
  }
  return static_cast<double>(sum) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

double cpu_seconds_of_dead_children() {
  rusage dead = {};
  getrusage(RUSAGE_CHILDREN, &dead);
  return seconds_of(dead.ru_utime) + seconds_of(dead.ru_stime);
}

double cpu_seconds_of_children() {
  double sum = cpu_seconds_of_dead_children();
  std::ifstream children(fmt::format("/proc/self/task/{}/children", getpid()));
  for (std::string pid; children >> pid;) sum += cpu_seconds_of(pid);
  return sum;
}

bool fails(const props::Outcome& outcome) {
  return outcome.finding && outcome.finding->kind != props::FindingKind::expectation;
}

Hunt hunt(props::CampaignOptions options, std::chrono::milliseconds cpu_budget,
          std::set<std::string>& known, const HuntWorld& world) {
  Hunt result;
  const double begun = world.cpu_seconds();
  double others = 0;  // spent on trials
  const auto spent = [&] { return world.cpu_seconds() - begun - others; };
  const double budget = std::chrono::duration<double>(cpu_budget).count();
  const auto* outer = options.stop;
  std::atomic<bool> stop{false};
  options.stop = &stop;
  options.progress = [&, inner = options.progress](const props::Progress& progress) {
    if (inner) inner(progress);
    if (outer != nullptr && outer->load()) {
      result.interrupted = true;
      stop = true;
    }
    if (spent() >= budget) stop = true;
  };
  options.found = [&, inner = options.found](const props::CampaignFinding& found) {
    if (inner) inner(found);
    if (result.detection) return;
    const double at = spent();
    if (known.contains(found.finding.key())) {
      ++result.excluded;
      result.masked = found.finding.title;
      return;
    }
    // The worker goes on meanwhile: only what the trial itself costs is not counted.
    const auto trial = world.trial(found);
    others += trial.cpu_seconds;
    if (trial.on_base) {
      known.insert(found.finding.key());
      ++result.excluded;
      result.masked = found.finding.title;
      return;
    }
    if (!trial.again) {
      result.unconfirmed = found.finding.title;
      return;
    }
    result.detection = found;
    result.cpu_seconds = at;
    stop = true;
  };
  // What ends the cases is a detection, not the number of the base's findings.
  options.max_findings = ~std::size_t{0};
  const auto campaign = world.campaign(options);
  result.cases = campaign.cases;
  if (!result.detection) {
    result.cpu_seconds = spent();
    const double wall = std::chrono::duration<double>(options.budget).count();
    const bool early = !stop && campaign.case_seconds < wall;
    if (early && campaign.gave_up != world.engine) result.broken = campaign.reason;
    if (early && campaign.gave_up == world.engine) {
      // Once more: what the engine says of itself may still have been want of memory.
      const auto again = world.campaign(options);
      const bool base_opens = !world.base_opens || world.base_opens();
      (again.gave_up == world.engine && base_opens ? result.gave_up : result.broken) =
          campaign.reason;
    }
  }
  return result;
}

}  // namespace lockstep::jobs
