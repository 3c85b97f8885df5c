// Writes the HTTP/2 tables of tests/support/h2_cases.h as JSON for test_h2_conformance.py: bytes in
// hexadecimal, what is expected, the points of the conformance suite that a case covers, and what
// the codec in memory had sent after each step, which tells what to wait for over a socket.

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "support/h2_play.h"
#include "support/h2_points.h"

namespace {

using namespace outrigger::http;
using nlohmann::json;

std::string hex(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text.push_back(digits[byte >> 4]);
    text.push_back(digits[byte & 0xf]);
  }
  return text;
}

const char* to_string(h2::Expect::What what) {
  switch (what) {
    case h2::Expect::What::quiet:
      return "quiet";
    case h2::Expect::What::alive:
      return "alive";
    case h2::Expect::What::answer:
      return "answer";
    case h2::Expect::What::reset:
      return "reset";
    case h2::Expect::What::goaway:
      return "goaway";
    case h2::Expect::What::reset_or_goaway:
      return "reset_or_goaway";
  }
  return "";
}

json describe(const h2::Progress& progress) {
  return {{"heads", progress.heads},
          {"data", progress.data_bytes},
          {"ends", progress.ends},
          {"resets", progress.resets},
          {"goaways", progress.goaways}};
}

template <typename Case>
json describe(const Case& test, const std::multimap<std::string, std::string>& points) {
  const h2::Play play = h2::play(test);
  json steps = json::array();
  for (std::size_t i = 0; i < test.steps.size(); ++i) {
    steps.push_back({{"bytes", hex(test.steps[i])}, {"after", describe(play.after[i])}});
  }
  json covered = json::array();
  const auto [first, last] = points.equal_range(test.id);
  for (auto at = first; at != last; ++at) covered.push_back(at->second);
  return {{"id", test.id},
          {"points", covered},
          {"own_preface", test.own_preface},
          {"before", describe(play.before)},
          {"steps", steps},
          {"expect",
           {{"what", to_string(test.expect.what)},
            {"stream", test.expect.stream},
            {"codes", test.expect.codes},
            {"status", test.expect.status},
            {"data_sizes", test.expect.data_sizes},
            {"contains", hex(test.expect.contains)},
            {"lacks", hex(test.expect.lacks)}}}};
}

}  // namespace

int main() {
  std::multimap<std::string, std::string> server_points;
  std::multimap<std::string, std::string> client_points;
  for (const h2::Point& point : h2::points_of_servers()) {
    server_points.emplace(point.server_case, point.id);
    client_points.emplace(point.client_case, point.id);
  }
  for (const h2::ClientPoint& point : h2::points_of_clients()) {
    client_points.emplace(point.client_case, point.id);
  }
  json server = json::array();
  for (const h2::ServerCase& test : h2::server_cases()) {
    server.push_back(describe(test, server_points));
  }
  json client = json::array();
  for (const h2::ClientCase& test : h2::client_cases()) {
    json described = describe(test, client_points);
    described["end"] = outrigger::http::to_string(test.end);
    described["began"] = h2::play(test).began;
    described["method"] = test.method;
    described["open"] = test.open;
    described["body"] = test.body;
    described["sent"] = test.sent;
    client.push_back(std::move(described));
  }
  // Some IDs contain bytes that are not UTF-8, since they name the value they test.
  const json all = {{"server", std::move(server)}, {"client", std::move(client)}};
  std::puts(all.dump(-1, ' ', true, json::error_handler_t::replace).c_str());
  return 0;
}
