// SPDX-License-Identifier: GPL-2.0-or-later
// Without hardware: impl's software processor walks, too, as a guest's would.
#include "props/tables_on_hardware.h"

#include <gtest/gtest.h>

#include <array>

#include "spec/engine_insides.h"

namespace lockstep::props {
namespace {

/// Another engine's guest, which hands on what is asked of it, and one lie.
class Liar final : public Engine, public ExportsTables {
 public:
  Liar(std::unique_ptr<Engine> inner, std::uint64_t set_bits)
      : inner_(std::move(inner)), set_bits_(set_bits) {}
  std::string_view name() const override { return inner_->name(); }
  const Platform& platform() const override { return inner_->platform(); }
  Result<void> begin(const Configuration& configuration, bool fresh) override {
    return inner_->begin(configuration, fresh);
  }
  Result<Observation> execute(const Command& command) override { return inner_->execute(command); }
  Result<Observation> end() override { return inner_->end(); }
  const std::map<std::string, std::uint64_t>& reached() const override { return inner_->reached(); }
  std::unique_ptr<TableExport> export_tables(unsigned vcpu) override {
    auto exported = dynamic_cast<ExportsTables&>(*inner_).export_tables(vcpu);
    return exported ? std::make_unique<Tables>(std::move(exported), set_bits_) : nullptr;
  }

 private:
  /// Every present entry has the bits set: upper ones have them anyway.
  class Tables final : public TableExport {
   public:
    Tables(std::unique_ptr<TableExport> inner, std::uint64_t bits)
        : inner_(std::move(inner)), bits_(bits) {}
    PagingMode mode() const override { return inner_->mode(); }
    Hfn root() const override { return inner_->root(); }
    const std::uint64_t* table(Hfn frame) const override {
      const std::uint64_t* entries = inner_->table(frame);
      if (entries == nullptr) return nullptr;
      auto& copy = copies_[frame];
      for (unsigned i = 0; i < copy.size(); ++i) {
        copy[i] = entries[i] | ((entries[i] & entry::present) != 0 ? bits_ : 0);
      }
      return copy.data();
    }
    std::optional<std::uint64_t> load(Hfn frame, unsigned offset) const override {
      return inner_->load(frame, offset);
    }

   private:
    std::unique_ptr<TableExport> inner_;
    std::uint64_t bits_;
    mutable std::map<Hfn, std::array<std::uint64_t, 512>> copies_;
  };

  std::unique_ptr<Engine> inner_;
  std::uint64_t set_bits_;
};

TablesOptions options_of(std::uint64_t lie) {
  TablesOptions options;
  options.processor = "impl as a processor";
  options.seed = 7;
  options.budget = std::chrono::minutes(1);
  options.max_programs = 60;
  options.factory = [lie](std::string_view name,
                          std::uint64_t seed) -> Result<std::unique_ptr<Engine>> {
    auto made = make_engine("impl", seed);
    if (!made || name != "impl") return made;
    return std::make_unique<Liar>(std::move(*made), lie);
  };
  return options;
}

TEST(TablesOnHardware, AgreeWithTheModelByEveryAccess) {
  const auto result = run_tables_on_hardware(options_of(0));
  EXPECT_EQ(result.verdict, Verdict::pass) << text_report(result, "impl") << result.reason;
  EXPECT_TRUE(result.canary_found);
  EXPECT_GT(result.reached_memory, 100u);
  EXPECT_GT(result.faults, 50u);
  EXPECT_GT(result.reserved, 0u);
}

TEST(TablesOnHardware, FindsTablesThatGrantMoreThanTheModel) {
  const auto result = run_tables_on_hardware(options_of(entry::writable | entry::user));
  EXPECT_EQ(result.verdict, Verdict::fail) << text_report(result, "impl") << result.reason;
}

TEST(TablesOnHardware, HasNoVerdictWithoutAProcessor) {
  auto options = options_of(0);
  options.factory = [](std::string_view name,
                       std::uint64_t seed) -> Result<std::unique_ptr<Engine>> {
    if (name != "impl") return tl::unexpected(EngineError{"none here"});
    return make_engine("impl", seed);
  };
  const auto result = run_tables_on_hardware(options);
  EXPECT_EQ(result.verdict, Verdict::no_verdict);
  EXPECT_NE(result.reason.find("none here"), std::string::npos);
}

}  // namespace
}  // namespace lockstep::props
