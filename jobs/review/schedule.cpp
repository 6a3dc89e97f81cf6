// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/schedule.h"

#include <fmt/format.h>

#include "jobs/hosted_scenarios.h"
#include "jobs/hosted_schedules.h"
#include "jobs/review/confine.h"
#include "jobs/saved_schedules.h"
#include "jobs/schedule_hunt.h"
#include "jobs/schedules.h"
#include "jobs/wrapped.h"
#include "props/commit.h"

namespace lockstep::jobs::review {
namespace {

ScheduleHunt hunt(const ScheduleSearch& search, const OpenSystems& open) {
  const double all = std::chrono::duration<double>(search.budget).count();
  return hunt_schedules({.open = open,
                         .seconds = all / static_cast<double>(hosted_scenarios().size()),
                         .shrink_seconds = 5,
                         .seed = search.seed,
                         .stop = search.stop});
}

/// Whether the base shows it: by the schedule, or where that does not fit its code, in as
/// much time. None if the base could not be asked.
std::optional<bool> base_shows(const ScheduleSearch& search, const ScheduleHunt& found) {
  const auto replayed = replay_in_child(found.saved, search.base);
  if (replayed.title == found.title) return true;
  if (replayed.ran) return false;
  const auto base = hunt(search, search.base);
  if (base.end == ScheduleHunt::End::error) return std::nullopt;
  return base.end == ScheduleHunt::End::found && base.title == found.title;
}

}  // namespace

OpenSystems open_confined(const std::filesystem::path& image, std::string engine) {
  return
      [open = open_hosted(image, std::move(engine))]() -> tl::expected<OpenedSystems, std::string> {
        if (auto confined = confine_this_process(); !confined) {
          return tl::unexpected(confined.error());
        }
        return open();
      };
}

std::optional<ReviewFinding> search_schedules(const ScheduleSearch& search,
                                              ScheduleReport& report) {
  using End = ScheduleHunt::End;
  if (search.progress) search.progress("schedules of the patched kernel's CPUs");
  const auto found = hunt(search, search.patched);
  report.schedules = found.schedules;
  report.cpu_seconds = found.cpu_seconds;
  if (found.end == End::error) report.not_run = found.title;
  if (found.end == End::not_again) report.unconfirmed = found.title;
  if (found.end != End::found) return std::nullopt;
  // In a process of its own: whatever ran before it there is not to blame.
  auto again = replay_in_child(found.saved, search.patched);
  if (again.title != found.title) {
    report.unconfirmed = found.title;
    return std::nullopt;
  }
  if (search.progress) search.progress("the same schedule on the base");
  const auto shown = base_shows(search, found);
  if (shown != false) {
    (shown ? report.masked : report.not_run) =
        shown ? found.title : "the base could not be asked about: " + found.title;
    return std::nullopt;
  }
  ReviewFinding made;
  made.kind = ReviewFinding::Kind::schedule;
  made.title = fmt::format("{}: {}", found.kind, found.title);
  made.invariant = invariant_in(found.title);
  made.page = std::move(again.page);
  made.seen.title = made.title;
  made.seen.sides = {{"base", "does not show it", "", false}, {"patched", made.title, "", true}};
  made.seen.engine = Workbench::patched_name;
  made.path = write_schedule(
      search.failures, "review-" + found.kind,
      fmt::format(
          "# lockstep {}, review of: {}\n# The base does not show it; a tree with the patch does, "
          "behind `engine hosted:`.\n{}",
          props::lockstep_commit(), search.subject, found.saved));
  return made;
}

std::string text_of(const ScheduleReport& report) {
  if (!report.asked) return {};
  if (!report.not_run.empty()) return "  schedules no\n" + wrapped(report.not_run, 4);
  auto text = fmt::format("  schedules {} of the patched kernel's CPUs, {:.1f} CPU s\n",
                          report.schedules, report.cpu_seconds);
  if (!report.masked.empty()) text += wrapped("the base shows it too: " + report.masked, 4);
  if (!report.unconfirmed.empty()) {
    text += wrapped("not seen again, so no finding: " + report.unconfirmed, 4);
  }
  return text;
}

}  // namespace lockstep::jobs::review
