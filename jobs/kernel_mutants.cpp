// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/kernel_mutants.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <set>

#include "hw/hosted/build/flavour.h"
#include "hw/hosted/build/image_build.h"
#include "hw/hosted/engine.h"
#include "hw/hosted/open.h"
#include "hw/kernels/mutant_tree.h"
#include "hw/kernels/scratch.h"
#include "jobs/corpus_programs.h"
#include "jobs/hosted_schedules.h"
#include "jobs/hunt.h"
#include "jobs/measured_image.h"
#include "jobs/schedule_hunt.h"
#include "jobs/schedules.h"
#include "props/child.h"
#include "props/hosted_parallel_engine.h"
#include "props/tester.h"

namespace lockstep::jobs {
namespace {

namespace fs = std::filesystem;
namespace hosted = hw::hosted;
namespace kernels = hw::kernels;
using Clock = std::chrono::steady_clock;

/// Of wall time for each second of CPU time, on a busy machine.
constexpr int wall_factor = 8;

double since(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

/// What programs run on: an engine of that name, opened on the image.
struct Tried {
  Measured measured;
  std::string engine;
  bool blocks = false;  ///< they are programs with parallel blocks, and it runs those
};

class Job {
 public:
  explicit Job(const KernelMutantsOptions& options) : options_(options) {
    engine_ = "hosted:" + options.kernel;
    world_.cpu_seconds = cpu_seconds_of_children;
    world_.engine = engine_;
  }

  kernels::Result<KernelMutantsReport> run() {
    const auto begun = Clock::now();
    if (auto ready = prepare(); !ready) return tl::unexpected(ready.error());
    for (const auto& mutant : options_.mutants) {
      if (stopped()) break;
      auto row = one(mutant);
      if (!row) return tl::unexpected(row.error());
      if (report_.interrupted) break;
      if (options_.done) options_.done(*row);
      report_.rows.push_back(*std::move(row));
    }
    report_.interrupted = report_.interrupted || stopped();
    report_.engine = engine_;
    report_.seconds = since(begun);
    for (const auto& key : known_) {
      // Engine, kind and command stand before the title.
      report_.base_findings.push_back(key.substr(key.rfind('|') + 1));
    }
    return std::move(report_);
  }

 private:
  bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }
  void say(std::string_view line) const {
    if (options_.progress) options_.progress(line);
  }

  /// `step_by_step`: the inside of each VM is checked after every command; else now
  /// and then.
  props::EngineFactory factory(const Tried& tried, bool base, bool step_by_step) const {
    return [this, tried, base, step_by_step](
               std::string_view name, std::uint64_t seed) -> Result<std::unique_ptr<Engine>> {
      if (name != tried.engine) return props::make_engine(name, seed);
      const Measured& measured = tried.measured;
      auto engine = tried.blocks ? props::open_parallel_hosted(measured.image, std::string(name))
                                 : hw::open_hosted_engine(measured.image, std::string(name),
                                                          measured.coverage.get());
      if (!engine) return engine;
      auto* const inside = dynamic_cast<hosted::HostedEngine*>(engine->get());
      if (step_by_step && inside != nullptr) {
        inside->check_invariants(hosted::InvariantChecks::every_command);
      }
      const std::uint64_t features = (*engine)->platform().features.to_ullong();
      const auto& of_base = tried.blocks ? features_of_blocks_ : features_;
      if (base) {
        of_base->store(features);
      } else if (const auto lost = of_base->load() & ~features; lost != 0) {
        // The generator would avoid what the probe saw broken.
        return tl::unexpected(
            EngineError{fmt::format("the probe of the engine fails for {}",
                                    lockstep::name(static_cast<Feature>(__builtin_ctzll(lost))))});
      }
      return engine;
    };
  }

  props::CampaignOptions campaign(const Tried& tried, bool base, const std::string& title) const {
    props::CampaignOptions campaign;
    campaign.engines = {"spec", tried.engine};
    if (tried.blocks) campaign.cases_of = props::Cases::parallel;
    campaign.budget = options_.budget * wall_factor;
    campaign.seed = options_.seed;
    campaign.failures = options_.failures / title;
    campaign.canary = false;
    campaign.stop = options_.stop;
    campaign.factory = factory(tried, base, /*step_by_step=*/false);
    campaign.progress = [this, title](const props::Progress& progress) {
      say(fmt::format("{}: {} cases, {:.0f} s", title, progress.cases, progress.seconds));
    };
    return campaign;
  }

  /// The kernel without a mutant: its image, what it reaches, where it fails.
  kernels::Result<void> prepare() {
    auto cache = kernels::Cache::standard();
    if (!cache) return tl::unexpected(cache.error());
    cache_.emplace(*std::move(cache));
    auto tree = kernels::find_tree(*cache_, options_.kernel);
    if (!tree) return tl::unexpected(tree.error());
    tree_ = *std::move(tree);
    report_.release = tree_.release;
    if (!kernels::installed("spatch")) {
      return kernels::machine_error(
          "mutants of a kernel are made by Coccinelle: apt-get install coccinelle");
    }
    if (!features_ || !features_of_blocks_) return kernels::machine_error("no shared memory");
    const auto source = kernels::plain_source(*cache_, tree_, options_.progress);
    if (!source) return tl::unexpected(source.error());
    plain_ = *source;
    const auto counted = [](const auto& mutant) { return flavour_of(mutant).empty(); };
    if (options_.mutants.empty() || std::ranges::any_of(options_.mutants, counted)) {
      if (auto ready = base("", /*blocks=*/false); !ready) return tl::unexpected(ready.error());
    }
    auto held = kernels::MutantTree::open(*cache_, tree_, options_.progress);
    if (!held) return tl::unexpected(held.error());
    overlay_.emplace(*std::move(held));
    return {};
  }

  static std::string flavour_of(const kernels::Mutant& mutant) {
    return mutant.asks_blocks() ? "asan+schedule" : mutant.flavour;
  }

  kernels::Result<Tried> tried(const kernels::Source& source, const std::string& flavour,
                               bool blocks, const kernels::Progress& progress) const {
    auto measured = measure(*cache_, source, flavour, progress);
    if (!measured) return tl::unexpected(measured.error());
    // An engine that runs blocks says so by its name.
    return Tried{*std::move(measured), blocks ? scheduled_name(engine_).value_or(engine_) : engine_,
                 blocks};
  }

  /// The kernel without a mutant, in that flavour: built, and hunted for what it
  /// shows by itself, when first asked for.
  kernels::Result<const Tried*> base(const std::string& flavour, bool blocks) {
    auto title = flavour.empty() ? std::string("base") : "base-" + flavour;
    if (blocks) title += "-blocks";
    if (const auto found = bases_.find(title); found != bases_.end()) return &found->second;
    auto built = tried(plain_, flavour, blocks, options_.progress);
    if (!built) return tl::unexpected(built.error());
    const Tried& made = bases_.emplace(title, *std::move(built)).first->second;
    auto world = world_;
    world.engine = made.engine;
    // Every finding is the base's.
    world.trial = [](const auto&) { return Trial{.on_base = true}; };
    const auto found = hunt(campaign(made, true, title), options_.budget, known_, world);
    report_.interrupted = found.interrupted;
    if (const auto& why = found.gave_up.empty() ? found.broken : found.gave_up; !why.empty()) {
      return kernels::machine_error("the kernel without a mutant: " + why);
    }
    return &made;
  }

  props::Tester tester(const Tried& tried, bool base) const {
    props::TesterSetup setup;
    setup.engines = {"spec", tried.engine};
    setup.factory = factory(tried, base, /*step_by_step=*/true);
    setup.models = props::machine_models();
    setup.seed = options_.seed;
    return props::Tester(setup);
  }

  bool fails(const Program& program, const Tried& tried, bool base) const {
    return tester(tried, base).run(program).finding.has_value();
  }

  /// The first program of the corpus that fails on the mutant alone, into the row.
  void try_corpus(const Tried& base, const Tried& mutated, MutantRow& row) {
    if (options_.corpus.empty()) return;
    if (corpus_.empty()) corpus_ = corpus_programs(options_.corpus);
    const double before = cpu_seconds_of_children();
    auto mutant = tester(mutated, false);
    std::size_t tried = 0;
    for (const auto& [name, program] : corpus_) {
      if (stopped()) return;
      say(fmt::format("{}: {} of {} programs of the corpus", row.name, ++tried, corpus_.size()));
      const auto finding = mutant.run(program).finding;
      if (!finding || fails(program, base, true)) continue;
      row.detected = true;
      row.reached = true;
      row.strategy = "corpus";
      row.kind = name;
      row.finding = finding->title;
      row.steps = program.steps.size();
      row.cpu_seconds += cpu_seconds_of_children() - before;
      return;
    }
  }

  Trial trial(const props::CampaignFinding& found, const Tried& base, const Tried& mutated) const {
    const double before = cpu_seconds_of_dead_children();
    Trial trial;
    trial.on_base = fails(found.program, base, true);
    trial.again = !trial.on_base && fails(found.program, mutated, false);
    trial.cpu_seconds = cpu_seconds_of_dead_children() - before;
    return trial;
  }

  kernels::Result<MutantRow> one(const kernels::Mutant& mutant) {
    MutantRow row;
    row.name = mutant.name;
    row.title = mutant.title;
    row.why_not = mutant.undetected;
    say(fmt::format("{}: building", mutant.name));
    const auto begun = Clock::now();
    const kernels::Scratch scratch(cache_->overlay(fmt::format("mutant-{}", getpid())));
    const auto mutation = kernels::mutate(tree_, mutant, scratch.path());
    if (!mutation && mutation.error().cause == kernels::KernelError::Cause::machine) {
      return tl::unexpected(mutation.error());
    }
    if (!mutation) return refused(std::move(row), mutation.error());
    if (mutation->files.empty()) {
      const auto function = kernels::function_there(tree_, mutant);
      if (!function) return tl::unexpected(function.error());
      row.state = function->empty() ? MutantRow::State::absent : MutantRow::State::refused;
      if (!function->empty()) {
        row.finding = fmt::format("changes nothing, though {}() is there", *function);
      }
      return row;
    }
    const auto source = overlay_->hold(*mutation);
    if (!source) return tl::unexpected(source.error());
    const bool blocks = mutant.asks_blocks();
    if (hosted::is_scheduled(mutant.flavour) && !blocks) {
      return by_schedules(mutant, *source, std::move(row), begun);
    }
    const auto base = this->base(flavour_of(mutant), blocks);
    if (!base) return tl::unexpected(base.error());
    const auto mutated = tried(*source, flavour_of(mutant), blocks, [](std::string_view) {});
    row.build_seconds = since(begun);
    if (!mutated) return refused(std::move(row), mutated.error());

    auto world = world_;
    world.engine = mutated->engine;
    world.trial = [&](const auto& found) { return trial(found, **base, *mutated); };
    world.base_opens = [&] { return tester(**base, true).run(Program{}).broken.empty(); };
    const auto found = hunt(campaign(*mutated, false, mutant.name), options_.budget, known_, world);
    report_.interrupted = found.interrupted;
    row.reached = reached(*mutation, (*base)->measured, mutated->measured);
    tell(found, row);
    if (blocks && row.detected) row.strategy = "blocks";
    row.limit_seconds = std::chrono::duration<double>(options_.budget).count();
    // What is known of the corpus is what one CPU shows.
    if (row.state == MutantRow::State::ran && !row.detected && !found.interrupted && !blocks) {
      try_corpus(**base, *mutated, row);
    }
    return row;
  }

  /// An image of several CPUs; one build of the mutant, one of the base.
  kernels::Result<fs::path> scheduled_image(const kernels::Source& source,
                                            const std::string& flavour,
                                            const kernels::Progress& progress) const {
    return hosted::build_image(*cache_, source, {.flavour = flavour}, progress);
  }

  /// A mutant that several CPUs show: schedules instead of programs.
  kernels::Result<MutantRow> by_schedules(const kernels::Mutant& mutant,
                                          const kernels::Source& source, MutantRow row,
                                          Clock::time_point begun) {
    const auto plain = scheduled_image(plain_, mutant.flavour, options_.progress);
    if (!plain) return tl::unexpected(plain.error());
    const auto mutated = scheduled_image(source, mutant.flavour, [](std::string_view) {});
    row.build_seconds = since(begun);
    if (!mutated) return refused(std::move(row), mutated.error());
    say(fmt::format("{}: schedules", mutant.name));
    const auto seconds = std::chrono::duration<double>(options_.budget).count();
    const auto hunt_image = [&](const fs::path& image) {
      return hunt_schedules({.open = open_hosted(image, engine_),
                             .seconds = seconds,
                             .seed = options_.seed,
                             .stop = options_.stop});
    };
    const auto found = hunt_image(*mutated);
    const PlainSchedules world{
        .replay =
            [&](const std::string& saved) {
              return replay_in_child(saved, open_hosted(*plain, engine_));
            },
        .hunt =
            [&] {
              const auto known = plain_hunts_.find(mutant.flavour);
              if (known != plain_hunts_.end()) return known->second;
              say(fmt::format("{}: schedules of the base", mutant.name));
              return plain_hunts_.emplace(mutant.flavour, hunt_image(*plain)).first->second;
            }};
    tell(found, world, row);
    report_.interrupted = stopped();
    if (row.detected) row.program = save(mutant.name, found.saved);
    return row;
  }

  /// Empty if it could not be written.
  fs::path save(const std::string& name, const std::string& text) const {
    const auto path = options_.failures / (name + ".schedule");
    std::error_code error;
    fs::create_directories(options_.failures, error);
    std::ofstream file(path);
    file << text;
    return file.flush() ? path : fs::path();
  }

  static MutantRow refused(MutantRow row, const kernels::KernelError& error) {
    row.state = MutantRow::State::refused;
    row.finding = error.message.substr(0, error.message.find("\n\n"));
    return row;
  }

  const KernelMutantsOptions& options_;
  std::string engine_;
  HuntWorld world_;
  std::optional<kernels::Cache> cache_;
  kernels::Tree tree_;
  kernels::Source plain_;
  std::map<std::string, Tried> bases_;  ///< by title
  /// What the kernel without a mutant shows under schedules; by flavour.
  std::map<std::string, ScheduleHunt> plain_hunts_;
  std::optional<kernels::MutantTree> overlay_;
  /// Of the base, written by the child that opened it.
  props::SharedObject<std::atomic<std::uint64_t>> features_, features_of_blocks_;
  std::set<std::string> known_;
  std::vector<NamedProgram> corpus_;  ///< read when first needed
  KernelMutantsReport report_;
};

}  // namespace

namespace {

void no_verdict(const std::string& why, MutantRow& row) {
  row.state = MutantRow::State::no_verdict;
  row.kind = "no verdict";
  row.finding = why;
}

/// Whether the plain image has stood what took the mutant's process down; the row says if
/// not.
bool plain_stands(const ScheduleHunt& plain, MutantRow& row) {
  if (plain.end == ScheduleHunt::End::nothing) return true;
  if (plain.end == ScheduleHunt::End::error) {
    no_verdict("the base: " + plain.title, row);
  } else {
    row.kind = "masked by the base";
    row.finding = plain.title;
  }
  return false;
}

}  // namespace

void tell(const ScheduleHunt& found, const PlainSchedules& plain, MutantRow& row) {
  row.strategy = "schedules";
  row.cpu_seconds = found.cpu_seconds;
  row.limit_seconds = found.limit_seconds;
  row.cases = found.schedules;
  row.kind = found.kind;
  row.finding = found.title;
  row.steps = found.commands;
  switch (found.end) {
    case ScheduleHunt::End::nothing:
      return;
    case ScheduleHunt::End::error:
      return no_verdict(found.title, row);
    case ScheduleHunt::End::not_again:
      row.kind = "not seen again";
      return;
    case ScheduleHunt::End::found:
      break;
  }
  const auto base = plain.replay(found.saved);
  if (!base.kind.empty()) {
    row.kind = "masked by the base";
    row.finding = base.title;
    return;
  }
  // Another code has other steps: a turn that does not come is no failure of the base.
  if (!base.ran) return no_verdict("the base: " + base.reason, row);
  const bool deadly = found.kind == name(props::schedule::FailureKind::crash) ||
                      found.kind == name(props::schedule::FailureKind::hang);
  if (deadly && !plain_stands(plain.hunt(), row)) return;
  row.detected = true;
  row.reached = true;
}

void tell(const Hunt& found, MutantRow& row) {
  row.cpu_seconds = found.cpu_seconds;
  row.cases = found.cases;
  if (found.detection) {
    row.detected = true;
    row.strategy = "random";
    row.kind = props::name(found.detection->finding.kind);
    row.finding = found.detection->finding.title;
    row.program = found.detection->path;
    row.steps = found.detection->program.steps.size();
  } else if (!found.gave_up.empty()) {
    // The base went through the same: this is the mutant's doing.
    row.detected = true;
    row.strategy = "random";
    row.kind = "broken";
    row.finding = found.gave_up;
  } else if (!found.broken.empty()) {
    no_verdict(found.broken, row);
  } else if (!found.unconfirmed.empty()) {
    row.kind = "not seen again";
    row.finding = found.unconfirmed;
  } else if (!found.masked.empty()) {
    row.kind = "masked by the base";
    row.finding = found.masked;
  }
  // What made the difference has run.
  if (row.detected) row.reached = true;
}

hw::kernels::Result<KernelMutantsReport> run_kernel_mutants(const KernelMutantsOptions& options) {
  return Job(options).run();
}

}  // namespace lockstep::jobs
