// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/wire.h"

#include <utility>

namespace lockstep::props {

using nlohmann::json;

namespace {

struct ObservationFields {
  json operator()(const Done&) const { return json::array(); }
  json operator()(const Value& value) const { return json::array({value.value}); }
  json operator()(const PageFault& fault) const { return json::array({fault.code, fault.address}); }
  json operator()(const Exception& value) const { return json::array({value.vector, value.code}); }
  json operator()(const Mmio& value) const {
    return json::array({value.write ? 1u : 0u, value.gpa, value.size, value.value});
  }
  json operator()(const Errno& value) const { return json::array({value.number}); }
  json operator()(const DirtyBitmap& value) const {
    json fields = json::array({value.pages});
    for (const auto word : value.words) fields.push_back(word);
    return fields;
  }
  json operator()(const Translation& value) const {
    json fields = json::array();
    if (value.gpa) fields.push_back(*value.gpa);
    return fields;
  }
  json operator()(const InternalError& value) const { return json::array({value.suberror}); }
  json operator()(const Livelock& value) const { return json::array({value.faults}); }
  json operator()(const Unexpected& value) const { return json::array({value.what}); }
  json operator()(const DirtyPages& value) const {
    json fields = json::array();
    for (const auto& slot : value.slots) fields.push_back({slot.id, slot.words});
    return fields;
  }
};

}  // namespace

json to_wire(const Observation& observation) {
  json fields = std::visit(ObservationFields{}, observation);
  return json{{"kind", observation.index()}, {"fields", std::move(fields)}};
}

Observation observation_from(const json& wire) {
  const auto& f = wire.at("fields");
  const auto word = [&](std::size_t i) { return f.at(i).get<std::uint64_t>(); };
  const auto small = [&](std::size_t i) { return f.at(i).get<std::uint32_t>(); };
  switch (wire.at("kind").get<std::size_t>()) {
    case 1:
      return Value{word(0)};
    case 2:
      return PageFault{small(0), word(1)};
    case 3:
      return Exception{small(0), small(1)};
    case 4:
      return Mmio{small(0) != 0, word(1), small(2), word(3)};
    case 5:
      return Errno{f.at(0).get<int>()};
    case 6: {
      DirtyBitmap bitmap{word(0), {}};
      for (std::size_t i = 1; i < f.size(); ++i) bitmap.words.push_back(word(i));
      return bitmap;
    }
    case 7:
      return f.empty() ? Translation{} : Translation{word(0)};
    case 8:
      return InternalError{small(0)};
    case 9:
      return Livelock{small(0)};
    case 10:
      return Unexpected{f.at(0).get<std::string>()};
    case 11: {
      DirtyPages ring;
      for (const auto& slot : f) {
        ring.slots.push_back(
            {slot.at(0).get<unsigned>(), slot.at(1).get<std::vector<std::uint64_t>>()});
      }
      return ring;
    }
    default:
      return Done{};
  }
}

json to_wire(const Finding& finding) {
  json sides = json::array();
  for (const auto& side : finding.sides) {
    sides.push_back(
        {{"engine", side.engine}, {"answer", side.answer}, {"why", side.why}, {"odd", side.odd}});
  }
  return {{"kind", static_cast<unsigned>(finding.kind)},
          {"engine", finding.engine},
          {"title", finding.title},
          {"step", finding.step ? json(*finding.step) : json()},
          {"command_kind", finding.command_kind},
          {"command", finding.command},
          {"sides", std::move(sides)},
          {"admitted", finding.admitted},
          {"unique", finding.unique ? to_wire(*finding.unique) : json()},
          {"walk", finding.walk},
          {"detail", finding.detail},
          {"spec_suspect", finding.spec_suspect}};
}

Finding finding_from(const json& wire) {
  Finding finding;
  finding.kind = static_cast<FindingKind>(wire.at("kind").get<unsigned>());
  finding.engine = wire.at("engine").get<std::string>();
  finding.title = wire.at("title").get<std::string>();
  if (!wire.at("step").is_null()) finding.step = wire.at("step").get<std::size_t>();
  finding.command_kind = wire.at("command_kind").get<std::string>();
  finding.command = wire.at("command").get<std::string>();
  for (const auto& side : wire.at("sides")) {
    finding.sides.push_back({side.at("engine").get<std::string>(),
                             side.at("answer").get<std::string>(),
                             side.at("why").get<std::string>(), side.at("odd").get<bool>()});
  }
  finding.admitted = wire.at("admitted").get<std::vector<std::string>>();
  if (!wire.at("unique").is_null()) finding.unique = observation_from(wire.at("unique"));
  finding.walk = wire.at("walk").get<std::string>();
  finding.detail = wire.at("detail").get<std::string>();
  finding.spec_suspect = wire.at("spec_suspect").get<bool>();
  return finding;
}

json to_wire(const Platform& platform) {
  return {{"features", platform.features.to_ulong()},
          {"max_vcpus", platform.max_vcpus},
          {"max_maxphyaddr", platform.max_maxphyaddr},
          {"host_maxphyaddr", platform.host_maxphyaddr},
          {"tdp", platform.tdp},
          {"deviations", platform.deviations},
          {"provenance", platform.provenance}};
}

Platform platform_from(const json& wire) {
  Platform platform;
  platform.features = Features(wire.at("features").get<unsigned long>());
  platform.max_vcpus = wire.at("max_vcpus").get<unsigned>();
  platform.max_maxphyaddr = wire.at("max_maxphyaddr").get<unsigned>();
  platform.host_maxphyaddr = wire.at("host_maxphyaddr").get<unsigned>();
  platform.tdp = wire.at("tdp").get<bool>();
  platform.deviations = wire.at("deviations").get<std::vector<std::string>>();
  platform.provenance =
      wire.at("provenance").get<std::vector<std::pair<std::string, std::string>>>();
  return platform;
}

json to_wire(const Outcome& outcome) {
  json skips = json::array();
  for (const auto& skip : outcome.skips) skips.push_back(json::array({skip.engine, skip.reason}));
  return {{"verdict", static_cast<unsigned>(outcome.verdict)},
          {"reason", outcome.reason},
          {"finding", outcome.finding ? to_wire(*outcome.finding) : json()},
          {"skips", std::move(skips)},
          {"broken", outcome.broken},
          {"undecided", outcome.undecided},
          {"commands", outcome.commands},
          {"ran", outcome.ran}};
}

Outcome outcome_from(const json& wire) {
  Outcome outcome;
  outcome.verdict = static_cast<Verdict>(wire.at("verdict").get<unsigned>());
  outcome.reason = wire.at("reason").get<std::string>();
  if (!wire.at("finding").is_null()) outcome.finding = finding_from(wire.at("finding"));
  for (const auto& skip : wire.at("skips")) {
    outcome.skips.push_back({skip.at(0).get<std::string>(), skip.at(1).get<std::string>()});
  }
  outcome.broken = wire.at("broken").get<std::string>();
  outcome.undecided = wire.at("undecided").get<bool>();
  outcome.commands = wire.at("commands").get<std::uint64_t>();
  outcome.ran = wire.at("ran").get<std::uint64_t>();
  return outcome;
}

std::optional<Outcome> read_outcome(const std::string& text) {
  try {
    return outcome_from(json::parse(text));
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

std::string text_of(const json& wire) {
  return wire.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace lockstep::props
