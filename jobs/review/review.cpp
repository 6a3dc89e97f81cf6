// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/review.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "hw/hosted/build/image_code.h"
#include "hw/kernels/sandbox.h"
#include "hw/qemu/engine.h"
#include "hw/qemu/kernel.h"
#include "hw/qemu/machine.h"
#include "hw/qemu/prepare.h"
#include "jobs/corpus_programs.h"
#include "jobs/mutant_results.h"
#include "jobs/review/base.h"
#include "jobs/review/boot.h"
#include "jobs/review/confine.h"
#include "jobs/review/examine.h"
#include "jobs/review/workbench.h"
#include "props/commit.h"
#include "props/save.h"

namespace lockstep::jobs::review {
namespace {

namespace fs = std::filesystem;
namespace kernels = hw::kernels;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

/// One part in so many of the budget is for schedules.
constexpr int schedule_share = 4;

class Job {
 public:
  explicit Job(const ReviewOptions& options) : options_(options) {
    report_.kernel = options.kernel;
    report_.seed = options.seed;
    report_.notes = options.submission.notes;
  }

  kernels::Result<ReviewReport> run() {
    const auto begun = Clock::now();
    auto done = prepare();
    if (done) done = patches();
    if (stack_) stack_->close();
    if (!done) return tl::unexpected(done.error());
    report_.interrupted = stopped();
    report_.seconds = since(begun);
    return std::move(report_);
  }

 private:
  bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }
  void say(std::string_view line) const {
    if (options_.progress) options_.progress(line);
  }

  kernels::Result<void> prepare() {
    if (!confinement_works()) {
      return kernels::machine_error(
          "a patched kernel runs in a process that may do little, and this host lets no process "
          "confine itself: seccomp is refused (in a container: --security-opt "
          "seccomp=unconfined lets it)");
    }
    auto cache = kernels::Cache::standard();
    if (!cache) return tl::unexpected(cache.error());
    cache_.emplace(*std::move(cache));
    auto tree = kernels::find_tree(*cache_, options_.kernel);
    if (!tree) return tl::unexpected(tree.error());
    auto base = base_of(*cache_, *tree, options_.submission, options_.progress);
    if (!base) return tl::unexpected(base.error());
    kernel_ = base->tree.path == tree->path ? options_.kernel : base->tree.path.string();
    tree_ = std::move(base->tree);
    report_.notes.insert(report_.notes.end(), base->notes.begin(), base->notes.end());
    report_.release = tree_.release;
    bool guarded = false;
    for (const auto& patch : options_.submission.patches) {
      for (const auto& file : files_of_diff(patch.diff)) {
        if (!decides_build(file) || guarded) continue;
        guarded = true;
        if (!kernels::sandbox_works()) {
          return kernels::input_error(fmt::format(
              "{}: changes {}, which decides what a build runs. That is done in a sandbox only, "
              "and there is none here: apt-get install bubblewrap",
              patch.subject, file));
        }
        report_.notes.push_back(fmt::format(
            "{} decides what a build runs: built in a sandbox without network and home, "
            "the root read-only",
            file));
      }
    }
    auto stack = PatchStack::open(*cache_, tree_, guarded, options_.progress);
    if (!stack) return tl::unexpected(stack.error());
    stack_.emplace(*std::move(stack));
    return {};
  }

  /// The base is built when the first patch wants to be run beside it.
  kernels::Result<Workbench*> bench() {
    if (bench_) return &*bench_;
    const auto source = kernels::plain_source(*cache_, tree_, options_.progress);
    if (!source) return tl::unexpected(source.error());
    std::string said;
    auto base = build_kernel(*cache_, *source, 0, said, options_.progress);
    if (!base) return tl::unexpected(base.error());
    bench_.emplace(*std::move(base), options_.seed);
    return &*bench_;
  }

  kernels::Result<void> patches() {
    const auto& submitted = options_.submission.patches;
    const auto share = options_.budget / static_cast<long>(submitted.size());
    bool applies = true;
    for (const auto& patch : submitted) {
      PatchReport row;
      row.patch = patch;
      if (applies && !stopped()) {
        row.tried = true;
        if (auto done = rebase(); !done) return done;
        say(fmt::format("applying {}", patch.subject));
        auto step = stack_->push(patch);
        if (!step) return tl::unexpected(step.error());
        row.step = *std::move(step);
        applies = row.step.applies;
        if (applies) {
          row.facts = facts_of(row.step.diff, [this](const std::string& file) {
            return kernels::read_file(stack_->source().path / file).value_or("");
          });
          if (auto done = build_and_run(row, share); !done) return done;
        }
      }
      report_.patches.push_back(std::move(row));
    }
    return {};
  }

  /// What the patches so far made is the base of the next: each is blamed for its own.
  kernels::Result<void> rebase() {
    if (!bench_ || !moved_) return {};
    std::string said;
    auto base = build_kernel(*cache_, stack_->source(), 0, said, options_.progress);
    if (!base) return tl::unexpected(base.error());
    bench_->set_base(*std::move(base));
    last_image_ = bench_->patched().image;
    const auto scheduled = scheduled_image(stack_->source(), 0);
    if (!scheduled) return tl::unexpected(scheduled.error());
    scheduled_base_ = *scheduled;
    moved_ = false;
    return {};
  }

  kernels::Result<void> build_and_run(PatchReport& row, std::chrono::milliseconds budget) {
    row.relevant = std::ranges::any_of(row.step.lines,
                                       [](const auto& file) { return may_be_compiled(file.file); });
    if (!row.relevant) return {};
    const auto bench = this->bench();
    if (!bench) return tl::unexpected(bench.error());
    const auto begun = Clock::now();
    std::string said;
    auto patched = build_kernel(*cache_, stack_->source(), 1, said, options_.progress);
    row.build_seconds = since(begun);
    if (!patched && patched.error().cause == kernels::KernelError::Cause::machine) {
      return tl::unexpected(patched.error());
    }
    said = remembered(said);
    const auto folder = cache_->build(stack_->source().key);
    row.diagnostics = parse_diagnostics(said, stack_->source().path, folder, row.step.lines);
    row.compiles = patched.has_value();
    if (!patched) {
      row.compile_error = patched.error().message;
      return {};
    }
    moved_ = true;
    row.power = power_in(functions_of(row.step.diff));
    (*bench)->set_patched(*std::move(patched), row.step.lines);
    ExamineOptions examine;
    // A part is kept for schedules, which programs that fail make superfluous.
    const auto scheduled = budget / schedule_share;
    examine.budget = budget - scheduled;
    examine.failures = options_.failures;
    examine.corpus = options_.corpus;
    examine.expected = options_.expected;
    examine.stop = options_.stop;
    examine.progress = options_.progress;
    examine.jobs = std::max(1u, std::thread::hardware_concurrency());
    const auto ran = Clock::now();
    lockstep::jobs::review::examine(**bench, examine, row);
    row.run_seconds = since(ran);
    if (row.findings.empty() && row.cannot_run.empty() && !row.reach.code.empty() && !stopped()) {
      if (auto done = schedule(row, scheduled); !done) return done;
    }
    if (options_.boot) {
      if (auto done = boot(row); !done) return done;
    }
    if (row.reach.code.empty()) return compare_code(**bench, row);
    return {};
  }

  /// Several CPUs of the patched kernel, whose order is chosen.
  kernels::Result<void> schedule(PatchReport& row, std::chrono::milliseconds budget) {
    const auto begun = Clock::now();
    row.schedules.asked = true;
    const auto base = scheduled_base();
    if (!base) return tl::unexpected(base.error());
    const auto patched = scheduled_image(stack_->source(), 1);
    row.schedules.build_seconds = since(begun);
    if (!patched) {
      row.schedules.not_run = patched.error().message;
      return {};
    }
    const auto engine = "hosted:" + kernel_;
    ScheduleSearch search;
    search.base = open_confined(*base, engine);
    search.patched = open_confined(*patched, engine);
    search.budget = budget;
    search.seed = options_.seed;
    search.failures = options_.failures;
    search.subject = row.patch.subject;
    search.stop = options_.stop;
    search.progress = options_.progress;
    auto found = search_schedules(search, row.schedules);
    if (!found) return {};
    declare(*found);
    row.findings.push_back(*std::move(found));
    return {};
  }

  kernels::Result<fs::path> scheduled_image(const kernels::Source& source, unsigned place) const {
    return build_image(*cache_, source, "asan+schedule", place, options_.progress);
  }

  /// Of what the patch stands on.
  kernels::Result<fs::path> scheduled_base() {
    if (!scheduled_base_.empty()) return scheduled_base_;
    const auto source = kernels::plain_source(*cache_, tree_, options_.progress);
    if (!source) return tl::unexpected(source.error());
    return scheduled_image(*source, 0);
  }

  void declare(ReviewFinding& finding) const {
    for (const auto& expected : options_.expected) {
      finding.expected = finding.expected || finding.title.find(expected) != std::string::npos ||
                         expected == name(finding.kind);
    }
  }

  /// The debug kernel with and without the patch, in QEMU.
  kernels::Result<void> boot(PatchReport& row) {
    row.boot.asked = true;
    if (auto absent = hw::qemu::lacks_qemu(); !absent.empty()) {
      row.boot.not_run = std::move(absent);
      return {};
    }
    // A patch of a series stands on those before it.
    for (const auto& patch : report_.patches) {
      const auto file = hw::qemu::image_file(files_of_diff(patch.step.diff));
      if (file) return unbootable(row, *file);
    }
    if (const auto file = hw::qemu::image_file(files_of_diff(row.step.diff))) {
      return unbootable(row, *file);
    }
    const auto begun = Clock::now();
    const auto base = hw::qemu::prepare_debug_kernel("qemu:" + kernel_, options_.progress);
    if (!base) {
      row.boot.not_run = base.error().message;
      return {};
    }
    const auto initramfs = hw::qemu::prepare_initramfs(*cache_);
    if (!initramfs) return tl::unexpected(initramfs.error());
    const auto patched =
        hw::qemu::build_debug_modules(*cache_, stack_->source(), *base, options_.progress);
    if (!patched) {
      row.boot.not_run = patched.error().message;
      return {};
    }
    row.boot.build_seconds = since(begun);
    BootOptions booting;
    booting.budget = *options_.boot;
    // After each the kernel boots again: one a mode answers the question.
    booting.most_findings = 1;
    booting.progress = options_.progress;
    booting.stop = options_.stop;
    for (const auto& finding : row.findings) {
      if (!finding.path.empty()) booting.programs.push_back({finding.title, finding.program});
    }
    for (auto& program : corpus_programs(options_.corpus)) {
      booting.programs.push_back(std::move(program));
    }
    booting.programs = without_hosts(booting.programs);
    const OpenBooted open = [&](hw::QemuMode mode, std::string_view name) {
      return hw::qemu::open_booted({.name = std::string(name),
                                    .mode = mode,
                                    .kernel = name == Workbench::base_name ? *base : *patched,
                                    .initramfs = *initramfs});
    };
    for (auto& finding : run_booted(booting, open, row.boot)) {
      save_booted(row, finding);
      row.findings.push_back(std::move(finding));
    }
    return {};
  }

  static kernels::Result<void> unbootable(PatchReport& row, const std::string& file) {
    row.boot.not_run = fmt::format(
        "{} may be compiled into the kernel image; only patches of KVM's own files are booted",
        file);
    return {};
  }

  void save_booted(PatchReport& row, ReviewFinding& finding) const {
    declare(finding);
    if (finding.program.steps.empty()) return;
    const auto program =
        props::annotated(finding.program, finding.seen,
                         {fmt::format("lockstep {}, review --boot of: {}", props::lockstep_commit(),
                                      row.patch.subject)});
    const auto saved = props::save(options_.failures, props::file_stem(finding.seen), program);
    if (!saved) {
      row.remarks.push_back(saved.error());
      return;
    }
    finding.path = *saved;
    finding.program = program;
  }

  /// No changed line can be measured: either the patch changes no code, or it only
  /// takes some away where lines say nothing of it.
  kernels::Result<void> compare_code(const Workbench& bench, PatchReport& row) {
    // Linked where the patched kernel is, so that addresses do not differ.
    auto base = last_image_;
    if (base.empty()) {
      const auto source = kernels::plain_source(*cache_, tree_, options_.progress);
      if (!source) return tl::unexpected(source.error());
      auto built = build_image(*cache_, *source, "coverage", 1, options_.progress);
      if (!built) return tl::unexpected(built.error());
      base = *std::move(built);
    }
    const auto same = hw::hosted::same_code(base, bench.patched().image);
    if (!same) return tl::unexpected(same.error());
    row.same_code = *same;
    return {};
  }

  /// What can be seen in these functions.
  PatchReport::Power power_in(const std::vector<std::string>& functions) const {
    PatchReport::Power power;
    const auto mutants = kernels::list_mutants(kernels::mutants_folder());
    if (!mutants) return power;
    const auto kept = kept_results(*cache_, tree_.release);
    for (const auto& mutant : *mutants) {
      const bool touched = std::ranges::any_of(functions, [&](const std::string& function) {
        return ("|" + mutant.reached_by + "|").find("|" + function + "|") != std::string::npos;
      });
      if (!touched) continue;
      const auto result = kept.find(mutant.name);
      auto& list = result == kept.end()      ? power.unmeasured
                   : result->second.detected ? power.detected
                                             : power.missed;
      list.push_back(mutant.name);
    }
    return power;
  }

  /// What the compiler said of this state before, where nothing had to be compiled
  /// now: warnings must not depend on who asked first.
  std::string remembered(const std::string& said) const {
    const auto file = cache_->overlay("review-said") / (tree_.identity() + stack_->state_key());
    std::error_code error;
    if (said.empty()) return kernels::read_file(file).value_or("");
    fs::create_directories(file.parent_path(), error);
    // Lost, the next run says less: no reason to end this one.
    static_cast<void>(kernels::write_file(file, said));
    return said;
  }

  const ReviewOptions& options_;
  ReviewReport report_;
  std::optional<kernels::Cache> cache_;
  kernels::Tree tree_;
  std::string kernel_;  ///< version or path of the tree
  std::optional<PatchStack> stack_;
  std::optional<Workbench> bench_;
  bool moved_ = false;       ///< a patch compiled since the base was built
  fs::path scheduled_base_;  ///< of the patches before this one; empty: of the tree
  fs::path last_image_;      ///< of the patches before this one, at the patched kernel's place
};

}  // namespace

kernels::Result<ReviewReport> review(const ReviewOptions& options) { return Job(options).run(); }

}  // namespace lockstep::jobs::review
