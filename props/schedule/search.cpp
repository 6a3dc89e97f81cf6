// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/schedule/search.h"

#include <algorithm>
#include <ctime>

#include "props/schedule/schedulers.h"

namespace lockstep::props::schedule {
namespace {

double cpu_now() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// Adds the time of its life.
class Watch {
 public:
  explicit Watch(Tally& tally) : tally_(&tally), began_(cpu_now()) {}
  ~Watch() { tally_->seconds += passed(); }
  double passed() const { return cpu_now() - began_; }

 private:
  Tally* tally_;
  double began_;
};

constexpr unsigned schedules_per_program = 24;

Command draw_command(const System& system, std::uint64_t mask, Random& random) {
  const auto verbs = static_cast<unsigned>(system.verbs.size());
  unsigned verb = random.below(verbs);
  while ((mask >> verb & 1) == 0) verb = (verb + 1) % verbs;
  const unsigned end = system.verbs[verb].end;
  return {.verb = static_cast<std::uint8_t>(verb),
          .number = static_cast<std::uint8_t>(end == 0 ? 0 : random.below(end))};
}

/// Each program has some of the commands only.
Threads draw_program(const System& system, Random& random) {
  const std::uint64_t all = (1ull << system.verbs.size()) - 1;
  std::uint64_t mask = random.next() & all;
  if (mask == 0) mask = all;
  Threads threads(random.below(4) == 0 ? 3 : 2);
  for (auto& commands : threads) {
    commands.resize(1 + random.below(4));
    for (Command& command : commands) command = draw_command(system, mask, random);
  }
  return threads;
}

/// The outcome as something to save: the same order once more, written down.
Found write_down(Runner& runner, const System& system, unsigned defect, const Threads& threads,
                 const Outcome& outcome) {
  const Outcome first = outcome;
  Follow follow(first.order);
  Recorder recorder(runner, follow);
  recorder.begin();
  const Outcome& again =
      runner.execute(recorder, [&] { return system.make(runner, defect, threads); });
  Found found{.saved = {.system = &system,
                        .defect = defect,
                        .threads = threads,
                        .turns = recorder.turns(),
                        .expect = first.failure->kind},
              .failure = *first.failure,
              .preemptions = first.preemptions};
  found.unsteady = again.fingerprint != first.fingerprint || again.failure != first.failure;
  return found;
}

/// The same bug with the fewest preemptions, if it is found soon.
std::optional<Found> fewest_preemptions(Runner& runner, const System& system, unsigned defect,
                                        const Threads& threads, const Failure& bug, Tally& tally,
                                        const std::function<bool()>& late) {
  constexpr std::uint64_t most = 1000;
  for (unsigned bound = 0; bound <= 3; ++bound) {
    Exhaustive all(bound);
    for (std::uint64_t i = 0; i < most && all.begin(); ++i) {
      if (i % 16 == 0 && late()) return std::nullopt;
      ++tally.schedules;
      const Outcome& outcome =
          runner.execute(all, [&] { return system.make(runner, defect, threads); });
      if (outcome.failure && same_bug(bug, *outcome.failure)) {
        return write_down(runner, system, defect, threads, outcome);
      }
    }
  }
  return std::nullopt;
}

/// The program without one command or one thread, with two threads made one, or
/// with a lower number.
std::vector<Threads> smaller(const System& system, const Threads& threads) {
  std::vector<Threads> all;
  for (std::size_t id = 0; threads.size() > 1 && id < threads.size(); ++id) {
    Threads less = threads;
    less.erase(less.begin() + static_cast<std::ptrdiff_t>(id));
    all.push_back(less);
    for (std::size_t into = 0; into < less.size(); ++into) {
      Threads joined = less;
      joined[into].insert(joined[into].end(), threads[id].begin(), threads[id].end());
      all.push_back(joined);
      // One thread has one schedule: other numbers cost nothing.
      for (std::size_t at = 0; joined.size() == 1 && at < joined[0].size(); ++at) {
        const unsigned end = system.verbs[joined[0][at].verb].end;
        for (std::uint8_t number = 0; number < std::min(end, 4u); ++number) {
          Threads other = joined;
          other[0][at].number = number;
          all.push_back(std::move(other));
        }
      }
    }
  }
  for (std::size_t id = 0; id < threads.size(); ++id) {
    for (std::size_t at = 0; threads[id].size() > 1 && at < threads[id].size(); ++at) {
      Threads less = threads;
      less[id].erase(less[id].begin() + static_cast<std::ptrdiff_t>(at));
      all.push_back(std::move(less));
    }
  }
  for (std::size_t id = 0; id < threads.size(); ++id) {
    for (std::size_t at = 0; at < threads[id].size(); ++at) {
      const std::uint8_t number = threads[id][at].number;
      Threads less = threads;
      less[id][at].number = 0;
      if (number > 0) all.push_back(less);
      less[id][at].number = static_cast<std::uint8_t>(number - 1);
      if (number > 1) all.push_back(std::move(less));
    }
  }
  return all;
}

}  // namespace

std::optional<Found> search(Runner& runner, const System& system, unsigned defect,
                            std::uint64_t seed, const SearchLimits& limits, Tally& tally) {
  const Watch watch(tally);
  Random random(seed);
  RandomWalk walk(random.next());
  Pct two(random.next(), 2);
  Pct three(random.next(), 3);
  Pct readers(random.next(), 2, Pct::Where::among_readers);
  Scheduler* const schedulers[] = {&two, &walk, &three, &readers};
  Threads threads;
  const std::function<std::unique_ptr<Body>()> make = [&] {
    return system.make(runner, defect, threads);
  };
  for (std::uint64_t made = 0; made < limits.schedules;) {
    threads = draw_program(system, random);
    ++tally.programs;
    for (unsigned i = 0; i < schedules_per_program && made < limits.schedules; ++i, ++made) {
      Scheduler& scheduler = *schedulers[i % 4];
      scheduler.begin();
      ++tally.schedules;
      const Outcome& outcome = runner.execute(scheduler, make);
      if (outcome.failure) return write_down(runner, system, defect, threads, outcome);
      if (!limits.audit || tally.schedules % limits.audit_every != 0) continue;
      const Audit audit = limits.audit(threads, outcome);
      if (!audit) {
        tally.broken = audit.error();
        return std::nullopt;
      }
      ++tally.audits;
      if (*audit) {
        Outcome other = outcome;
        other.failure = **audit;
        Found found = write_down(runner, system, defect, threads, other);
        found.unsteady = true;
        return found;
      }
    }
    if (limits.stop != nullptr && limits.stop->load()) break;
    if (watch.passed() > limits.seconds) break;
  }
  return std::nullopt;
}

Found shrink(Runner& runner, Found found, Tally& tally, double seconds) {
  const Watch watch(tally);
  const std::function<bool()> late = [&] { return watch.passed() > seconds; };
  const System& system = *found.saved.system;
  const Failure bug = found.failure;
  for (bool less = true; less;) {
    less = false;
    for (const Threads& threads : smaller(system, found.saved.threads)) {
      if (late()) return found;
      if (auto small =
              fewest_preemptions(runner, system, found.saved.defect, threads, bug, tally, late)) {
        found = *std::move(small);
        less = true;
        break;
      }
    }
  }
  if (auto small = fewest_preemptions(runner, system, found.saved.defect, found.saved.threads, bug,
                                      tally, late)) {
    if (small->preemptions <= found.preemptions) found = *std::move(small);
  }
  return found;
}

Covered exhaust(Runner& runner, const System& system, unsigned defect, const Threads& threads,
                std::optional<unsigned> preemptions, std::uint64_t most, Tally& tally) {
  const Watch watch(tally);
  Exhaustive all(preemptions);
  const std::function<std::unique_ptr<Body>()> make = [&] {
    return system.make(runner, defect, threads);
  };
  for (std::uint64_t i = 0; i < most; ++i) {
    if (!all.begin()) break;
    ++tally.schedules;
    const Outcome& outcome = runner.execute(all, make);
    if (outcome.failure) {
      return {.found = write_down(runner, system, defect, threads, outcome), .complete = false};
    }
  }
  return {.found = {}, .complete = all.complete()};
}

Covered exhaust_all(Runner& runner, const System& system, unsigned defect, unsigned threads,
                    unsigned commands, unsigned preemptions, Tally& tally,
                    const std::function<bool(const Threads&)>& visit) {
  std::vector<Command> alphabet;
  for (std::size_t verb = 0; verb < system.verbs.size(); ++verb) {
    for (unsigned number = 0; number < std::max(1u, system.verbs[verb].end); ++number) {
      if ((system.verbs[verb].telling >> number & 1) == 0) continue;
      alphabet.push_back({static_cast<std::uint8_t>(verb), static_cast<std::uint8_t>(number)});
    }
  }
  // Lists of commands in the order of their digits; those of threads ascend.
  std::uint64_t lists = 1;
  for (unsigned i = 0; i < commands; ++i) lists *= alphabet.size();
  std::vector<std::uint64_t> chosen(threads, 0);
  Threads program(threads, std::vector<Command>(commands));
  for (;;) {
    for (unsigned id = 0; id < threads; ++id) {
      std::uint64_t digits = chosen[id];
      for (Command& command : program[id]) {
        command = alphabet[digits % alphabet.size()];
        digits /= alphabet.size();
      }
    }
    if (visit && !visit(program)) return {.found = {}, .complete = false};
    ++tally.programs;
    auto covered = exhaust(runner, system, defect, program, preemptions, ~0ull, tally);
    if (covered.found || !covered.complete) return covered;
    unsigned id = threads;
    while (id != 0 && chosen[id - 1] + 1 == lists) --id;
    if (id == 0) return covered;
    const std::uint64_t next = chosen[id - 1] + 1;
    for (; id <= threads; ++id) chosen[id - 1] = next;
  }
}

}  // namespace lockstep::props::schedule
