// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/schedule_child.h"

#include <fmt/format.h>

#include <array>
#include <atomic>

#include "props/child.h"
#include "props/schedule/saved.h"
#include "props/schedule/schedulers.h"

namespace lockstep::jobs {
namespace {

namespace schedule = props::schedule;
using Clock = std::chrono::steady_clock;
using Kind = ScheduleEnd::Kind;

constexpr std::chrono::milliseconds tick{100};
/// A busy machine lets a process wait for so many times its patience; that says nothing
/// about what it runs.
constexpr int wall_factor = 8;

std::string text_of(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string first_line(const std::string& words) { return words.substr(0, words.find('\n')); }

/// How long the child has been at what it does now.
class Turn {
 public:
  void look(const schedule::Witness& witness, const props::Child& child) {
    const auto now = Clock::now();
    const auto spent = child.processor_time();
    const bool other = witness.turn() != turn_ || !begun_;
    if (other) {
      turn_ = witness.turn();
      begun_ = now;
      spent_before_ = spent;
    }
    if (other || spent != spent_ || !child.asleep()) awake_ = now;
    spent_ = spent;
  }
  std::chrono::nanoseconds spent() const { return spent_ - spent_before_; }
  std::chrono::nanoseconds in_all() const { return spent_; }
  std::chrono::nanoseconds asleep() const { return Clock::now() - awake_; }
  std::chrono::nanoseconds wall() const {
    return begun_ ? Clock::now() - *begun_ : std::chrono::nanoseconds();
  }

 private:
  std::uint64_t turn_ = 0;
  std::optional<Clock::time_point> begun_;
  Clock::time_point awake_;
  std::chrono::nanoseconds spent_{};
  std::chrono::nanoseconds spent_before_{};
};

void classify_death(const schedule::Witness& witness, props::Child& child, ScheduleEnd& end) {
  end.how = child.how();
  end.words = child.last_words();
  if (child.killed()) {
    end.how = fmt::format("ended from outside by {}: out of memory?", end.how);
  } else if (child.threw()) {
    end.how = first_line(end.words);
  } else if (witness.running()) {
    end.kind = Kind::crashed;
  } else {
    end.how = fmt::format("died by {} while no schedule ran: {}", end.how, first_line(end.words));
  }
}

}  // namespace

ScheduleEnd run_in_child(schedule::Witness& witness, const ScheduleBody& body,
                         const ScheduleWatch& watch) {
  ScheduleEnd end;
  auto child = props::Child::start([&](props::Channel& channel) {
    schedule::Runner runner;
    runner.witness(&witness);
    const Say say = [&](const nlohmann::json& what) {
      (void)channel.send(text_of({{"say", what}}));
    };
    const auto answer = body(runner, say);
    (void)channel.send(text_of({{"answer", answer}}));
  });
  if (!child) {
    end.how = child.error();
    return end;
  }
  Turn turn;
  for (;;) {
    std::string message;
    const auto status = child->channel().receive(message, Clock::now() + tick);
    if (status == props::Channel::Status::closed) {
      child->end();
      classify_death(witness, *child, end);
      return end;
    }
    if (status == props::Channel::Status::message) {
      const auto told = nlohmann::json::parse(message, nullptr, /*allow_exceptions=*/false);
      if (told.contains("answer")) {
        end.kind = Kind::answered;
        end.answer = told["answer"];
        end.cpu_seconds = std::chrono::duration<double>(child->processor_time()).count();
        return end;
      }
      if (watch.heard && told.contains("say")) watch.heard(told["say"]);
    }
    turn.look(witness, *child);
    end.cpu_seconds = std::chrono::duration<double>(turn.in_all()).count();
    const double patience = std::chrono::duration<double>(watch.patience).count();
    if (watch.tick && watch.tick(witness)) {
      end.kind = Kind::ended;
    } else if (witness.running() &&
               (turn.spent() > watch.patience || turn.asleep() > watch.patience)) {
      end.kind = Kind::hung;
      end.how = fmt::format("no end after {:g} s", patience);
    } else if (turn.spent() > watch.patience || turn.wall() > watch.patience * wall_factor) {
      end.how = fmt::format(
          "no answer: {:.0f} s, of them {:.1f} s on a processor, {}",
          std::chrono::duration<double>(turn.wall()).count(),
          std::chrono::duration<double>(turn.spent()).count(),
          witness.running() ? "in one schedule; the machine is too busy" : "and no schedule ran");
    } else {
      continue;
    }
    child->end();
    end.words = child->last_words();
    return end;
  }
}

std::string_view deadly_kind(const ScheduleEnd& end) {
  return name(end.kind == Kind::hung ? schedule::FailureKind::hang : schedule::FailureKind::crash);
}

std::string deadly_title(const ScheduleEnd& end) {
  return end.kind == Kind::hung ? std::string("did not come back from this schedule")
                                : fmt::format("crashed under this schedule: {}", end.how);
}

namespace {

/// Text in shared memory, of which only what is written takes any.
struct SharedText {
  std::atomic<std::uint32_t> size{0};
  /// A turn at each step that a run may take, of names as long as they are.
  std::array<char, 100ull * schedule::most_steps> text;

  SharedText() {}  // leaves the text as it is
  void add(std::string_view more) {
    const auto at = size.load(std::memory_order_relaxed);
    if (more.size() > text.size() - at) return;
    std::ranges::copy(more, text.begin() + at);
    size.store(at + static_cast<std::uint32_t>(more.size()), std::memory_order_release);
  }
  std::string get() const { return {text.data(), size.load(std::memory_order_acquire)}; }
};

/// Lets a recorder choose, and keeps the turns that it has written down so far.
class KeptRecorder final : public schedule::Scheduler {
 public:
  KeptRecorder(const schedule::Runner& runner, schedule::Scheduler& inner, SharedText& kept)
      : recorder_(runner, inner), kept_(&kept) {}
  bool begin() override { return recorder_.begin(); }
  unsigned choose(const schedule::Choice& choice) override {
    const unsigned chosen = recorder_.choose(choice);
    for (const auto& turns = recorder_.turns(); told_ < turns.size(); ++told_) {
      kept_->add(print(turns[told_]) + "\n");
    }
    return chosen;
  }

 private:
  schedule::Recorder recorder_;
  std::size_t told_ = 0;
  SharedText* kept_;
};

}  // namespace

DeadlySchedule pin_down(const ScheduleEnd& end, const schedule::Witness& witness,
                        const OpenSystems& open, std::chrono::milliseconds patience) {
  const std::string expected = fmt::format("expect {}\n", deadly_kind(end));
  DeadlySchedule deadly{.kind = std::string(deadly_kind(end)),
                        .title = deadly_title(end),
                        .saved = witness.program() + expected,
                        .unsteady = true};
  const auto order = witness.order();
  const props::SharedObject<schedule::Witness> again;
  const props::SharedObject<SharedText> kept;
  if (!again || !kept) return deadly;
  const auto body = [&](schedule::Runner& runner, const Say&) -> nlohmann::json {
    const auto opened = open();
    if (!opened) return {{"broken", opened.error()}};
    auto saved = schedule::parse_saved(deadly.saved, opened->systems);
    if (!saved) return {{"broken", saved.error()}};
    const auto make = [&runner, program = *saved] {
      return program.system->make(runner, program.defect, program.threads);
    };
    schedule::Follow follow(order);
    KeptRecorder recorder(runner, follow, *kept);
    recorder.begin();
    runner.execute(recorder, make);
    return {};
  };
  const auto second = run_in_child(*again, body, {.patience = patience});
  deadly.unsteady = second.kind != end.kind || second.how != end.how || again->order() != order;
  deadly.saved = witness.program() + kept->get() + expected;
  return deadly;
}

}  // namespace lockstep::jobs
