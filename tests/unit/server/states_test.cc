// docs/states.md shows every state machine that has a table, and is rendered from the tables
// themselves. The test fails if the page is stale or lacks a table that is in the sources.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/h1_client_codec.h"
#include "http/h1_server_codec.h"
#include "http/h2_session.h"
#include "http/h2_stream.h"
#include "net/connection.h"
#include "proxy/exchange.h"
#include "support/golden_file.h"
#include "support/source_dir.h"
#include "tls/transport.h"
#include "upstream/spoken.h"

namespace outrigger {
namespace {

// The compiler's own spelling of an enumerator; empty for a value that has none. So the page needs
// no second list of names that could get out of date.
template <auto value>
constexpr std::string_view spelling() {
  constexpr std::string_view function = __PRETTY_FUNCTION__;
  constexpr std::size_t begin = function.find("value = ") + 8;
  constexpr std::string_view whole =
      function.substr(begin, function.find_first_of(";]", begin) - begin);
  if (whole.find(')') != std::string_view::npos) return {};  // "(Light)7"
  const std::size_t colon = whole.rfind(':');
  return colon == std::string_view::npos ? whole : whole.substr(colon + 1);
}

template <typename Enum, std::size_t... i>
std::vector<std::string> spellings(std::index_sequence<i...> /*values*/) {
  std::vector<std::string> names;
  for (const std::string_view name : {spelling<static_cast<Enum>(i)>()...}) {
    if (name.empty()) break;
    names.emplace_back(name);
  }
  return names;
}

// In order of declaration, which begins with 0 and has no gaps.
template <typename Enum>
std::vector<std::string> names_of() {
  return spellings<Enum>(std::make_index_sequence<32>());
}

std::string code(std::string_view text) {
  return "`" + std::string(text) + "`";
}

struct Page {
  std::string text;
  std::set<std::string> tables;

  // `about` says whose states these are; `initial` is where its machine begins.
  template <typename Table>
  void add(std::string_view title, std::string_view name, std::string_view file, const Table& table,
           typename Table::State initial, std::string_view about) {
    tables.insert(std::string(file) + ": " + std::string(name));
    const auto states = names_of<typename Table::State>();
    const auto events = names_of<typename Table::Event>();
    text += "\n## " + std::string(title) + "\n\n" + code(name) + " in " + code(file) + ". " +
            std::string(about) + " Starts in " +
            code(states.at(static_cast<std::size_t>(initial))) + ".\n\n";
    text += "| |";
    for (const std::string& event : events) text += " " + event + " |";
    text += "\n|---|";
    for (std::size_t i = 0; i < events.size(); ++i) text += "---|";
    text += "\n";
    for (std::size_t s = 0; s < states.size(); ++s) {
      text += "| " + code(states[s]) + " |";
      for (std::size_t e = 0; e < events.size(); ++e) {
        const auto* row = table.find(static_cast<typename Table::State>(s),
                                     static_cast<typename Table::Event>(e));
        text += row == nullptr ? " |" : " " + states.at(static_cast<std::size_t>(row->to)) + " |";
      }
      text += "\n";
    }
  }
};

Page render() {
  Page page;
  page.text =
      "# States\n\nEvery event-driven state machine whose states carry no data is defined by a "
      "table\n(`src/base/state_table.h`). Rows are states, columns are events, and each cell is "
      "the next state. An\nempty cell is a transition that cannot happen: it would be a bug, and "
      "ends the process.\n\nA test generates this page from the tables; "
      "[development.md](development.md) says how to refresh it.\n";
  page.add("An exchange", "exchange_table", "src/proxy/exchange.h", proxy::exchange_table,
           proxy::ExchangeState::begun,
           "One request and its response in the proxy, whatever protocols its two sides speak.");
  page.add("A connection", "connection_life", "src/net/connection.h", net::connection_life,
           net::ConnectionPhase::idle,
           "A connection to a client or to an endpoint, whatever its protocol.");
  page.add("An HTTP/1 server connection, reading", "h1_server_reading",
           "src/http/h1_server_codec.h", http::h1_server_reading, http::H1Reading::head,
           "What is received from the client.");
  page.add("An HTTP/1 server connection, answering", "h1_server_answering",
           "src/http/h1_server_codec.h", http::h1_server_answering, http::H1Answering::idle,
           "What is sent to the client, in parallel to the machine above.");
  page.add("An HTTP/1 client connection, reading", "h1_client_reading",
           "src/http/h1_client_codec.h", http::h1_client_reading, http::H1ClientReading::idle,
           "What is received from the endpoint.");
  page.add("An HTTP/1 client connection, asking", "h1_client_asking", "src/http/h1_client_codec.h",
           http::h1_client_asking, http::H1Asking::idle,
           "What is sent to the endpoint, in parallel to the machine above.");
  page.add("An HTTP/2 connection", "h2_phase_table", "src/http/h2_session.h", http::h2_phase_table,
           http::H2Phase::open, "The life of a session, as a server or a client.");
  page.add("An HTTP/2 stream, receiving", "h2_receive_table", "src/http/h2_stream.h",
           http::h2_receive_table, http::H2Receive::head, "What is received from the peer.");
  page.add("An HTTP/2 stream, sending", "h2_send_table", "src/http/h2_stream.h",
           http::h2_send_table, http::H2Send::head, "What its user has sent.");
  page.add("An HTTP/2 stream, held", "h2_holders_table", "src/http/h2_stream.h",
           http::h2_holders_table, http::H2Holders::both,
           "Who still uses it; it is freed when nobody does.");
  page.add("What an app speaks", "spoken_table", "src/upstream/spoken.h", upstream::spoken_table,
           upstream::Spoken::unknown, "Determined from its responses, in clear text with `auto`.");
  page.add("A TLS session", "transport_table", "src/tls/transport.h", tls::transport_table,
           net::Transport::State::handshaking, "As a server or a client.");
  return page;
}

// "file: name" of every StateTable constant in a source text.
std::set<std::string> tables_in(const std::string& file, const std::string& text) {
  static const std::regex declaration(R"(StateTable<[^;{]*>\s+(\w+)\s*[{=])");
  std::set<std::string> found;
  for (std::sregex_iterator at(text.begin(), text.end(), declaration), end; at != end; ++at) {
    found.insert(file + ": " + (*at)[1].str());
  }
  return found;
}

TEST(States, ThePageIsCurrent) {
  test::expect_golden("docs/states.md", render().text);
}

TEST(States, EveryTableIsOnThePage) {
  const std::filesystem::path root = test::source_dir();
  std::set<std::string> declared;
  for (const char* folder : {"src", "include"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
      const std::string extension = entry.path().extension().string();
      const std::string file = std::filesystem::relative(entry.path(), root).generic_string();
      if ((extension != ".h" && extension != ".cc") || file == "src/base/state_table.h") continue;
      declared.merge(tables_in(file, test::read_source_file(file)));
    }
  }
  EXPECT_EQ(declared, render().tables);
}

TEST(States, TheScanSeesHoweverATableIsWritten) {
  const std::set<std::string> expected{"f: a", "f: b"};
  EXPECT_EQ(tables_in("f",
                      "constexpr StateTable<A, B, 1> a{{{x}}};\n"
                      "StateTable<net::X::State,\n  B, 2> b = {};\nuse(StateTable<A, B, 1>& c);"),
            expected);
}

// A state that cannot be reached, or an event that no state handles, would be a leftover.
template <typename Table>
void expect_connected(const Table& table, typename Table::State initial) {
  std::set<std::size_t> reached{static_cast<std::size_t>(initial)};
  for (bool more = true; more;) {
    more = false;
    for (const auto& row : table.rows) {
      if (reached.contains(static_cast<std::size_t>(row.from)))
        more |= reached.insert(static_cast<std::size_t>(row.to)).second;
    }
  }
  EXPECT_EQ(reached.size(), names_of<typename Table::State>().size());
  std::set<std::size_t> events;
  std::set<std::pair<std::size_t, std::size_t>> pairs;
  for (const auto& row : table.rows) {
    events.insert(static_cast<std::size_t>(row.event));
    pairs.emplace(static_cast<std::size_t>(row.from), static_cast<std::size_t>(row.event));
  }
  EXPECT_EQ(events.size(), names_of<typename Table::Event>().size());
  EXPECT_EQ(pairs.size(), table.rows.size()) << "two rows for one state and event";
}

TEST(States, EveryStateIsReachedAndEveryEventHasAPlace) {
  expect_connected(proxy::exchange_table, proxy::ExchangeState::begun);
  expect_connected(net::connection_life, net::ConnectionPhase::idle);
  expect_connected(http::h1_server_reading, http::H1Reading::head);
  expect_connected(http::h1_server_answering, http::H1Answering::idle);
  expect_connected(http::h1_client_reading, http::H1ClientReading::idle);
  expect_connected(http::h1_client_asking, http::H1Asking::idle);
  expect_connected(http::h2_phase_table, http::H2Phase::open);
  expect_connected(http::h2_receive_table, http::H2Receive::head);
  expect_connected(http::h2_send_table, http::H2Send::head);
  expect_connected(http::h2_holders_table, http::H2Holders::both);
  expect_connected(tls::transport_table, net::Transport::State::handshaking);
}

}  // namespace
}  // namespace outrigger
