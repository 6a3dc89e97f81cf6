// SPDX-License-Identifier: GPL-2.0-or-later
/// The findings of a run: each once, saved at once, reduced later.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "props/campaign.h"
#include "props/crew.h"

namespace lockstep::props {

class Ledger {
 public:
  explicit Ledger(const CampaignOptions& options) : options_(options) {}

  /// Save and announce a finding unless it is known. True if it is new.
  bool enter(const Sighting& sighting, const CaseMaker& maker,
             const std::vector<Platform>& platforms);
  /// Shrink, confirm, save again; `phase` hears the title of each.
  void reduce_all(const CaseMaker& maker, const std::vector<Platform>& platforms,
                  const std::function<void(const std::string&)>& phase);
  void count_again(const std::map<std::string, std::uint64_t>& again);

  std::size_t size() const { return entries_.size(); }
  /// Of a finding that could not be written.
  const std::string& write_error() const { return write_error_; }
  std::vector<CampaignFinding> take();

 private:
  struct Entry {
    CampaignFinding finding;
    Sighting sighting;
    Program met;  ///< the program as it was met, cut after the failing step
  };
  void write(Entry& entry, const std::vector<Program>& programs,
             const std::vector<Platform>& platforms);
  std::vector<Program> history(const Entry& entry, const CaseMaker& maker) const;
  bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }

  const CampaignOptions& options_;
  std::vector<Entry> entries_;
  std::string write_error_;
};

}  // namespace lockstep::props
