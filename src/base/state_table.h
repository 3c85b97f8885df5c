#pragma once

// A state machine's legal transitions in one constexpr table, and the machine that keeps to it. A
// transition that is not in the table is a bug and ends the process. A test renders every table
// into docs/states.md.
//
//   enum class Light { red, green };
//   enum class LightEvent { go, stop };
//   inline constexpr StateTable<Light, LightEvent, 2> light_table{{{
//       {Light::red, LightEvent::go, Light::green},
//       {Light::green, LightEvent::stop, Light::red}}}};
//   Machine<light_table> machine{Light::red};
//   machine.on(LightEvent::go);

#include <array>
#include <cstddef>

#include "base/check.h"

namespace outrigger {

template <typename State, typename Event>
struct Transition {
  State from;
  Event event;
  State to;
};

template <typename S, typename E, std::size_t N>
struct StateTable {
  using State = S;
  using Event = E;
  std::array<Transition<S, E>, N> rows;

  constexpr const Transition<S, E>* find(S from, E event) const {
    for (const auto& row : rows) {
      if (row.from == from && row.event == event) return &row;
    }
    return nullptr;
  }
};

template <const auto& table>
class Machine {
  using Table = std::remove_cvref_t<decltype(table)>;

 public:
  using State = typename Table::State;
  using Event = typename Table::Event;

  explicit Machine(State initial) : state_(initial) {}
  State state() const { return state_; }
  bool is(State s) const { return state_ == s; }
  bool allows(Event event) const { return table.find(state_, event) != nullptr; }
  // REQUIRES: allows(event)
  void on(Event event) {
    const auto* row = table.find(state_, event);
    check(row != nullptr, "a transition that is not in the state table");
    state_ = row->to;  // NOLINT(clang-analyzer-core.NullDereference)
  }

 private:
  State state_;
};

}  // namespace outrigger
