// The tables of tests/support/h2_cases.h against the codecs, each case whole and byte by byte; and
// a check that they cover every point of the conformance suite. tests/e2e/test_h2_conformance.py
// replays the same tables over sockets.

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "support/h2_play.h"
#include "support/h2_points.h"

namespace outrigger::http::h2 {
namespace {

TEST(H2Conformance, Server) {
  for (const ServerCase& test : server_cases()) {
    EXPECT_EQ(judge(test, play(test)), "") << test.id;
    EXPECT_EQ(judge(test, play(test, true)), "") << test.id << ", byte by byte";
  }
  EXPECT_GT(server_cases().size(), 280U);
}

TEST(H2Conformance, Client) {
  for (const ClientCase& test : client_cases()) {
    EXPECT_EQ(judge(test, play(test)), "") << test.id;
    EXPECT_EQ(judge(test, play(test, true)), "") << test.id << ", byte by byte";
  }
  EXPECT_GT(client_cases().size(), 200U);
}

template <typename Case>
std::set<std::string> ids_of(const std::vector<Case>& cases) {
  std::set<std::string> ids;
  for (const Case& test : cases) EXPECT_TRUE(ids.insert(test.id).second) << test.id << " twice";
  return ids;
}

// Points are numbered within their section, from 1 and without gaps, so that none is forgotten.
void expect_numbered(const std::vector<std::string>& points) {
  std::map<std::string, int> last;
  for (const std::string& id : points) {
    const std::size_t slash = id.rfind('/');
    EXPECT_EQ(id.substr(slash + 1), std::to_string(++last[id.substr(0, slash)])) << id;
  }
}

TEST(H2Conformance, EveryPointHasACaseInBothDirections) {
  const std::set<std::string> server = ids_of(server_cases());
  const std::set<std::string> client = ids_of(client_cases());
  std::vector<std::string> points;
  std::map<std::string, int> in_group;
  for (const Point& point : points_of_servers()) {
    points.push_back(point.id);
    ++in_group[std::string(point.id).substr(0, std::string(point.id).find('/'))];
    EXPECT_TRUE(server.contains(point.server_case)) << point.id << ": " << point.server_case;
    EXPECT_TRUE(client.contains(point.client_case)) << point.id << ": " << point.client_case;
  }
  expect_numbered(points);
  EXPECT_EQ(in_group, (std::map<std::string, int>{{"generic", 44}, {"http2", 95}, {"hpack", 8}}));
}

TEST(H2Conformance, EveryPointOfClientsHasACase) {
  const std::set<std::string> client = ids_of(client_cases());
  std::vector<std::string> points;
  for (const ClientPoint& point : points_of_clients()) {
    points.push_back(point.id);
    EXPECT_TRUE(client.contains(point.client_case)) << point.id << ": " << point.client_case;
  }
  expect_numbered(points);
  EXPECT_EQ(points.size(), 57U);
}

}  // namespace
}  // namespace outrigger::http::h2
