// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/boot.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "jobs/wrapped.h"
#include "props/lockstep.h"
#include "spec/engine_insides.h"

namespace lockstep::jobs::review {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view base_name = Workbench::base_name;
constexpr std::string_view patched_name = Workbench::patched_name;

double since(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

class BootedPair {
 public:
  BootedPair(const BootOptions& options, const OpenBooted& open, hw::QemuMode mode,
             BootReport::Mode& row, std::vector<ReviewFinding>& findings)
      : options_(options), open_(open), mode_(mode), row_(row), findings_(findings) {}

  void run(Clock::duration budget) {
    row_.parameters = parameters_of(mode_);
    if (stopped() || !start()) return;
    const auto until = Clock::now() + budget;
    bool retried = false;
    for (std::size_t i = 0; i < options_.programs.size();) {
      if (Clock::now() >= until || stopped() || found_ >= options_.most_findings) break;
      const auto& [name, program] = options_.programs[i];
      say(fmt::format("booted, {}: {}", row_.parameters, name));
      const auto outcome = once(program);
      // What a kernel showed before it broke counts all the same.
      if (!outcome.broken.empty() && !outcome.finding) {
        // A QEMU that hangs says nothing about the kernel, unless it does so again.
        if (std::exchange(retried, true)) {
          row_.broken = fmt::format("{}: {}", name, outcome.reason);
          break;
        }
        if (!start()) return;
        continue;
      }
      retried = false;
      if (!take(name, program, outcome)) return;
      ++i;
    }
    // Of the base, which every program leaves alive.
    row_.reached = pair_->engine(0).reached();
    if (!stopped() && found_ < options_.most_findings) tear_down();
  }

 private:
  bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }
  void say(std::string_view line) const {
    if (options_.progress) options_.progress(line);
  }

  props::Outcome once(const Program& program) {
    props::RunOptions running;
    running.fresh = true;
    return pair_->run(program, running);
  }

  /// Both kernels; what keeps only the patched one from starting, twice, is a finding.
  bool start() {
    const auto begun = Clock::now();
    pair_.reset();
    say(fmt::format("booting, {}", row_.parameters));
    auto base = open_(mode_, base_name);
    auto patched = base ? open_(mode_, patched_name) : Result<std::unique_ptr<Engine>>(nullptr);
    if (base && !patched) {
      // The machine's fault may be, too: boot both again.
      base->reset();
      base = open_(mode_, base_name);
      if (base) patched = open_(mode_, patched_name);
    }
    if (!base) {
      row_.broken = "the base does not start: " + base.error().message;
      return false;
    }
    if (!patched) {
      ReviewFinding made;
      made.kind = ReviewFinding::Kind::splat;
      made.title = fmt::format("KVM does not start with {}, the base does", row_.parameters);
      made.detail = patched.error().message;
      made.seen.engine = patched_name;
      made.seen.title = made.title;
      findings_.push_back(std::move(made));
      row_.broken = patched.error().message;
      return false;
    }
    std::vector<std::unique_ptr<Engine>> engines;
    engines.push_back(*std::move(base));
    engines.push_back(*std::move(patched));
    pair_.emplace(std::move(engines), props::machine_models());
    row_.boot_seconds = since(begun);
    return true;
  }

  HasKernelLog* kernel(std::size_t engine) {
    return dynamic_cast<HasKernelLog*>(&pair_->engine(engine));
  }

  /// Whether the program alone, on kernels that boot anew, shows it again. None: they do
  /// not boot.
  std::optional<bool> again(const Program& program, const props::Finding& finding) {
    if (!start()) return std::nullopt;
    const auto outcome = once(program);
    return outcome.finding && outcome.finding->key() == finding.key();
  }

  /// False if nothing more can be run.
  bool take(const std::string& name, const Program& program, const props::Outcome& outcome) {
    if (outcome.ran == 0 || !outcome.skips.empty()) {
      ++row_.skipped;
      return true;
    }
    row_.undecided += outcome.undecided ? 1 : 0;
    ++row_.programs;
    if (!outcome.finding) return true;
    const auto& finding = *outcome.finding;
    if (finding.engine != patched_name) {
      ++row_.base_fails;
      row_.base_finding = finding.title;
      return true;
    }
    const auto splat = kernel(1) == nullptr ? std::string() : kernel(1)->complaint();
    const auto seen_again = again(program, finding);
    // A stall may be the machine's, and so may another answer in time. What the kernel
    // says of itself it says for a reason, if perhaps one that other programs gave it.
    if (seen_again != true && (splat.empty() || splat.find("stall") != std::string::npos ||
                               splat.find("lockup") != std::string::npos)) {
      row_.unconfirmed = finding.title;
      return seen_again.has_value();
    }
    add(name, program, finding, !splat.empty(), seen_again == true);
    return seen_again.has_value();
  }

  void add(const std::string& name, const Program& program, const props::Finding& finding,
           bool splat, bool seen_again) {
    ReviewFinding made;
    made.kind = splat ? ReviewFinding::Kind::splat : ReviewFinding::Kind::behaviour;
    made.title = fmt::format("{} (booted, {})", finding.title, row_.parameters);
    made.detail = fmt::format("program {}{}", name,
                              seen_again ? "" : "; not seen when it ran alone after a boot");
    if (!finding.detail.empty()) made.detail += "\n" + finding.detail;
    made.program = program;
    made.seen = finding;
    made.seen.title = made.title;
    const bool known = std::ranges::any_of(
        findings_, [&](const ReviewFinding& other) { return other.title == made.title; });
    if (known) return;
    ++found_;
    findings_.push_back(std::move(made));
  }

  /// What either kernel says when its modules are taken out, after all programs.
  void tear_down() {
    if (kernel(0) == nullptr || kernel(1) == nullptr) return;
    say(fmt::format("booted, {}: taking the modules out", row_.parameters));
    const auto base = kernel(0)->tear_down();
    const auto patched = kernel(1)->tear_down();
    // Modules that only the patched kernel keeps in use are left behind as well.
    const bool kept =
        base && !patched && patched.error().message.find("delete_module") != std::string::npos;
    if (!base || (!patched && !kept)) {
      row_.broken = fmt::format("modules out: {}", (base ? patched : base).error().message);
      return;
    }
    row_.torn_down = true;
    std::optional<Unexpected> left;
    if (kept) {
      left = Unexpected{patched.error().message};
    } else if (const auto* const said = std::get_if<Unexpected>(&*patched)) {
      left = *said;
    }
    if (!left) return;
    if (std::holds_alternative<Unexpected>(*base)) {
      ++row_.base_fails;
      row_.base_finding = std::get<Unexpected>(*base).what;
      return;
    }
    props::Finding finding;
    finding.engine = patched_name;
    finding.title = "modules out: " + left->what;
    finding.detail = kernel(1)->complaint();
    finding.sides = {{std::string(base_name), "ok", "", false},
                     {std::string(patched_name), left->what, "", true}};
    add("none alone: after all of them", {}, finding, true, true);
  }

  const BootOptions& options_;
  const OpenBooted& open_;
  hw::QemuMode mode_;
  BootReport::Mode& row_;
  std::vector<ReviewFinding>& findings_;
  std::optional<props::Lockstep> pair_;
  std::size_t found_ = 0;
};

}  // namespace

std::string parameters_of(hw::QemuMode mode) {
  const auto kvm = hw::kvm_parameters(mode);
  return fmt::format("{}{}{}", hw::kvm_amd_parameters(mode), kvm.empty() ? "" : " ", kvm);
}

std::vector<NamedProgram> without_hosts(const std::vector<NamedProgram>& programs) {
  std::vector<NamedProgram> all;
  std::set<std::string> seen;
  for (const auto& [name, program] : programs) {
    NamedProgram plain{name.substr(0, name.find(" (")), program};
    plain.program.configuration.host = {};
    if (seen.insert(print(plain.program)).second) all.push_back(std::move(plain));
  }
  return all;
}

std::vector<ReviewFinding> run_booted(const BootOptions& options, const OpenBooted& open,
                                      BootReport& report) {
  const auto begun = Clock::now();
  std::vector<ReviewFinding> findings;
  const auto modes = static_cast<long>(hw::qemu_modes.size());
  for (long i = 0; i < modes; ++i) {
    report.modes.emplace_back();
    BootedPair pair(options, open, hw::qemu_modes[static_cast<std::size_t>(i)], report.modes.back(),
                    findings);
    // Boots apart, which take as long as the machine lets them.
    pair.run(options.budget / modes);
  }
  report.run_seconds = since(begun);
  return findings;
}

std::string text_of(const BootReport& report) {
  if (!report.asked) return {};
  if (!report.not_run.empty()) return "  booted    no\n" + wrapped(report.not_run, 4);
  auto text = fmt::format(
      "  booted    base and patched, with the kernel's checks: built in "
      "{:.1f} s, run {:.1f} s\n",
      report.build_seconds, report.run_seconds);
  for (const auto& mode : report.modes) {
    const auto fixed = mode.reached.find("access pf_fixed");
    text +=
        fmt::format("    {:<16} {} programs, {} skipped, {} faults fixed\n", mode.parameters,
                    mode.programs, mode.skipped, fixed == mode.reached.end() ? 0 : fixed->second);
    if (mode.undecided != 0) {
      text += fmt::format("      {} of them up to a step of which the model says nothing\n",
                          mode.undecided);
    }
    if (!mode.torn_down && mode.broken.empty()) {
      text += "      modules not taken out: what they leave behind was not looked for\n";
    }
    if (!mode.unconfirmed.empty()) {
      text += wrapped("not seen again, so no finding: " + mode.unconfirmed, 6);
    }
    for (const auto& [name, count] : mode.reached) {
      if (name.starts_with("deviation ")) {
        text += fmt::format("      {} applied {} times\n", name, count);
      }
    }
    if (mode.base_fails != 0) {
      text += wrapped(
          fmt::format("the base fails itself on {}, as: {}", mode.base_fails, mode.base_finding),
          6);
    }
    if (!mode.broken.empty()) text += wrapped("cut short: " + mode.broken, 6);
  }
  return text;
}

}  // namespace lockstep::jobs::review
