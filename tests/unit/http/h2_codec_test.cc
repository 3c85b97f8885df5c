// Both HTTP/2 codecs against each other: messages, ends, flow control, draining.

#include "http/h2_codec.h"

#include <gtest/gtest.h>

#include "support/h2_world.h"

namespace outrigger::http {
namespace {

using namespace fakes;

class H2Codec : public testing::Test {
 protected:
  H2World world;
};

TEST_F(H2Codec, RequestAndAnswer) {
  H2Pair pair(world);
  RecordingSink answer;
  Stream& stream = pair.client.codec.open(answer);
  TestHead head(world.blocks);
  head.request("POST", "/a?b").length(5).add("X-Mixed", "One").add("cookie", "a=b");
  stream.send_head(head, false);
  stream.send_data("hello", true);
  pair.run();
  ASSERT_EQ(pair.server.events.sinks.size(), 1U);
  RecordingSink& got = pair.server.events.last();
  EXPECT_EQ(got.head, "POST http://example.test /a?b\nlength 5\nx-mixed: One\ncookie: a=b\n");
  EXPECT_EQ(got.body, "hello");
  EXPECT_TRUE(got.ended);
  TestHead back(world.blocks);
  got.stream->send_head(back.response(200).add("server", "t"), false);
  got.stream->send_data("world", false);
  TestHead trailers(world.blocks);
  trailers.add("grpc-status", "0");
  got.stream->send_trailers(trailers.head.fields);
  pair.run();
  EXPECT_EQ(answer.story(),
            "head\nstatus 200\nserver: t\nbody world\ntrailers\ngrpc-status: 0\ncomplete\n");
  EXPECT_EQ(pair.client.codec.open_streams(), 0U);
  EXPECT_EQ(pair.server.codec.open_streams(), 0U);
  EXPECT_EQ(pair.server.events.idle, 1);
}

}  // namespace
}  // namespace outrigger::http
