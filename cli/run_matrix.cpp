// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/run_matrix.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "props/engine_factory.h"
#include "props/page_walk_matrix.h"
#include "props/page_walk_matrix_sample.h"
#include "props/save.h"

namespace lockstep::cli {
namespace {

using props::Verdict;

/// FAIL outweighs no verdict, which outweighs pass.
Verdict worse(Verdict a, Verdict b) {
  if (a == Verdict::fail || b == Verdict::fail) return Verdict::fail;
  return a == Verdict::pass ? b : a;
}

class Page {
 public:
  Page(const MatrixRun& run, const JsonOutput& json) : run_(run), json_(json) {}

  void matrix() {
    const auto end = std::chrono::steady_clock::now() + run_.budget;
    std::atomic<bool> stop{false};
    props::MatrixOptions options;
    options.stop = &stop;
    options.progress = [&](const props::MatrixProgress& progress) {
      if (stop_on_interrupt().load() || std::chrono::steady_clock::now() > end) stop = true;
      line_.show(fmt::format("{}: {} cases  {} mismatches", progress.block, progress.cases,
                             progress.mismatches));
    };
    const auto result = props::run_page_walk_matrix(options);
    line_.clear();
    fmt::print(json_.page(), "{}", text_report(result));
    seconds_ += result.seconds;
    for (const auto& mismatch : result.mismatches) {
      props::Finding finding;
      finding.engine = "impl";
      finding.title = mismatch.line;
      finding.command =
          print(mismatch.program.steps.back().command, mismatch.program.configuration.paging);
      save(finding, mismatch.program);
    }
    if (result.mismatched != 0) {
      conclude(Verdict::fail, fmt::format("{} of {} cases differ between spec and impl",
                                          result.mismatched, result.compared));
    } else if (result.stopped) {
      conclude(Verdict::no_verdict, "the page-walk matrix was stopped before its end");
    }
    for (const char* name : {"spec", "impl"}) {
      engines_.push_back({{"name", name},
                          {"commands", 0},
                          {"cases", result.compared},
                          {"skipped", nlohmann::json::object()},
                          {"reached", nlohmann::json::object()},
                          {"loosenesses", nlohmann::json::object()}});
    }
    for (const auto& dimension : result.dimensions) {
      dimensions_.push_back({{"name", dimension.name},
                             {"flags", dimension.flags},
                             {"text", dimension.text},
                             {"legal", dimension.legal},
                             {"compared", dimension.compared}});
    }
  }

  void sample(const std::string& engine) {
    if (stop_on_interrupt().load()) {
      return conclude(Verdict::no_verdict, engine + ": did not run");
    }
    props::MatrixSampleOptions options;
    options.engine = engine;
    options.seed = run_.seed;
    options.budget = run_.budget;
    options.stop = &stop_on_interrupt();
    options.progress = [&](const props::MatrixSampleProgress& progress) {
      line_.show(fmt::format("{}: {:.0f} s  {} cases  {} findings", engine, progress.seconds,
                             progress.cases, progress.findings));
    };
    const auto result = props::run_page_walk_sample(options);
    line_.clear();
    fmt::print(json_.page(), "{}", text_report(result, engine));
    seconds_ += result.seconds;
    for (const auto& found : result.findings) save(found.finding, found.program);
    conclude(result.verdict, result.reason);
    engines_.push_back({{"name", engine},
                        {"commands", result.cases},
                        {"cases", result.cases},
                        {"skipped", result.skipped},
                        {"reached", result.reached},
                        {"loosenesses", nlohmann::json::object()}});
  }

  int finish() {
    fmt::print(json_.page(), "{}{}\n", headline(verdict_), reason_.empty() ? "" : ": " + reason_);
    auto object = base_object(verdict_, seconds_, reason_);
    object["seed"] = run_.seed;
    object["property"] = "page-walk-matrix";
    object["findings"] = findings_;
    object["engines"] = engines_;
    object["dimensions"] = dimensions_;
    return json_.write(object, verdict_);
  }

 private:
  void conclude(Verdict verdict, const std::string& reason) {
    const Verdict now = worse(verdict_, verdict);
    if (now != verdict_ && verdict != Verdict::pass) reason_ = reason;
    verdict_ = now;
  }

  void save(const props::Finding& finding, const Program& program) {
    const auto path =
        props::save(run_.failures, props::file_stem(finding), annotated(program, finding, {}));
    const std::string shown = path ? path->string() : "";
    fmt::print(json_.page(), "  {}\n", path ? shown : "not saved: " + path.error());
    findings_.push_back(finding_object(finding, shown));
  }

  const MatrixRun& run_;
  const JsonOutput& json_;
  ProgressLine line_;
  Verdict verdict_ = Verdict::pass;
  std::string reason_;
  double seconds_ = 0;
  nlohmann::json findings_ = nlohmann::json::array();
  nlohmann::json engines_ = nlohmann::json::array();
  nlohmann::json dimensions_ = nlohmann::json::array();
};

}  // namespace

int run_matrix(const MatrixRun& run, const JsonOutput& json) {
  for (const auto& engine : run.engines) {
    if (const auto unknown = props::unknown_engine(engine)) {
      return input_error(json.target(), *unknown);
    }
  }
  const auto asked = [&run](std::string_view name) {
    return std::find(run.engines.begin(), run.engines.end(), name) != run.engines.end();
  };
  if (!run.engines.empty() && asked("spec") != asked("impl")) {
    return input_error(json.target(), "page-walk-matrix compares spec with impl: name both");
  }
  Page page(run, json);
  if (run.engines.empty() || asked("spec")) page.matrix();
  for (const auto& engine : run.engines) {
    if (engine != "spec" && engine != "impl") page.sample(engine);
  }
  return page.finish();
}

}  // namespace lockstep::cli
