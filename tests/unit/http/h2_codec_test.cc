// The two HTTP/2 codecs against each other: messages, tunnels, ends, draining.

#include "http/h2_codec.h"

#include <gtest/gtest.h>

#include "support/h2_frames.h"
#include "support/h2_world.h"

namespace outrigger::http {
namespace {

using namespace fakes;

class H2Codec : public testing::Test {
 protected:
  // Opens a stream and sends a head without content.
  Stream& get(H2Pair& pair, RecordingSink& sink) {
    Stream& stream = pair.client.codec.open(sink);
    TestHead head(world.blocks);
    stream.send_head(head.request(), true);
    return stream;
  }
  // The same with a body that continues.
  Stream& post(H2Pair& pair, RecordingSink& sink) {
    Stream& stream = pair.client.codec.open(sink);
    TestHead head(world.blocks);
    stream.send_head(head.request("POST"), false);
    return stream;
  }
  void answer(Stream& stream, int status, std::string_view body) {
    TestHead head(world.blocks);
    stream.send_head(head.response(status), body.empty());
    if (!body.empty()) stream.send_data(body, true);
  }

  H2World world;
};

TEST_F(H2Codec, RequestAndAnswer) {
  H2Pair pair(world);
  RecordingSink sink;
  Stream& stream = pair.client.codec.open(sink);
  TestHead head(world.blocks);
  head.request("POST", "/a?b").length(5).add("X-Mixed", "One").add("cookie", "a=b");
  head.head.te_trailers = true;
  stream.send_head(head, false);
  stream.send_data("hello", true);
  pair.run();
  ASSERT_EQ(pair.server.events.sinks.size(), 1U);
  RecordingSink& got = pair.server.events.last();
  EXPECT_EQ(got.head,
            "POST http://example.test /a?b\nte trailers\nlength 5\nx-mixed: One\ncookie: a=b\n");
  EXPECT_EQ(got.version, Version::http2);
  EXPECT_EQ(got.body, "hello");
  EXPECT_TRUE(got.ended);
  TestHead back(world.blocks);
  got.stream->send_head(back.response(200).add("server", "t"), false);
  got.stream->send_data("world", false);
  TestHead trailers(world.blocks);
  trailers.add("grpc-status", "0");
  got.stream->send_trailers(trailers.head.fields);
  pair.run();
  EXPECT_EQ(sink.story(),
            "head\nstatus 200\nserver: t\nbody world\ntrailers\ngrpc-status: 0\ncomplete\n");
  EXPECT_EQ(pair.client.codec.open_streams(), 0U);
  EXPECT_EQ(pair.server.codec.open_streams(), 0U);
  EXPECT_EQ(pair.server.events.idle, 1);
  EXPECT_GE(pair.client.events.capacity, 1);
}

TEST_F(H2Codec, TrailersBothWaysAndWithoutABody) {
  H2Pair pair(world);
  RecordingSink sink;
  Stream& stream = post(pair, sink);
  TestHead trailers(world.blocks);
  trailers.add("X-Checksum", "7").add("content-length", "9").add("authorization", "no");
  stream.send_trailers(trailers.head.fields);
  pair.run();
  RecordingSink& got = pair.server.events.last();
  EXPECT_EQ(got.trailers, "x-checksum: 7\n");
  EXPECT_TRUE(got.ended);
  TestHead head(world.blocks);
  got.stream->send_head(head.response(200), false);
  TestHead status(world.blocks);
  status.add("grpc-status", "5");
  got.stream->send_trailers(status.head.fields);
  pair.server.feeder.settle();
  std::string bytes = pair.server.wire.take();
  std::string copy = bytes;
  // No empty DATA frame between the two blocks.
  const auto frames = h2::take_frames(copy);
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].type, h2::type_headers);
  EXPECT_EQ(frames[1].type, h2::type_headers);
  pair.client.feeder.feed(bytes);
  EXPECT_EQ(sink.trailers, "grpc-status: 5\n");
  EXPECT_TRUE(sink.ended);
}

TEST_F(H2Codec, TrailersThatAreAllDroppedStillEndTheMessage) {
  H2Pair pair(world);
  RecordingSink sink;
  Stream& stream = post(pair, sink);
  TestHead trailers(world.blocks);
  trailers.add("content-length", "9");
  stream.send_trailers(trailers.head.fields);
  pair.run();
  EXPECT_TRUE(pair.server.events.last().ended);
  EXPECT_FALSE(pair.server.events.last().was_reset);
}

TEST_F(H2Codec, InterimAnswers) {
  H2Pair pair(world);
  RecordingSink sink;
  get(pair, sink);
  pair.run();
  Stream& stream = *pair.server.events.last().stream;
  TestHead hints(world.blocks);
  stream.send_interim(hints.response(103).add("link", "</a>"));
  TestHead go_on(world.blocks);
  stream.send_interim(go_on.response(100));
  answer(stream, 204, "");
  pair.run();
  EXPECT_EQ(sink.story(),
            "interim\nstatus 103\nlink: </a>\ninterim\nstatus 100\nhead\nstatus 204\nend\n"
            "body \ncomplete\n");
}

TEST_F(H2Codec, HeadKeepsItsLength) {
  H2Pair pair(world);
  RecordingSink sink;
  Stream& stream = pair.client.codec.open(sink);
  TestHead head(world.blocks);
  stream.send_head(head.request("HEAD"), true);
  pair.run();
  TestHead back(world.blocks);
  pair.server.events.last().stream->send_head(back.response(200).length(12345), true);
  pair.run();
  EXPECT_EQ(sink.head, "status 200\nlength 12345\n");
  EXPECT_TRUE(sink.ended);
}

TEST_F(H2Codec, FramingFieldsDoNotLeave) {
  H2Pair pair(world);
  RecordingSink sink;
  Stream& stream = pair.client.codec.open(sink);
  TestHead head(world.blocks);
  head.request().add("connection", "x").add("Keep-Alive", "1").add("Transfer-Encoding", "chunked");
  head.add("upgrade", "a")
      .add("proxy-connection", "b")
      .add("te", "gzip")
      .add("content-length", "9");
  head.add("host", "other.test")
      .add("http2-settings", "AA")
      .add("x", "kept")
      .add("y", "line\nbreak");
  stream.send_head(head, true);
  pair.run();
  EXPECT_EQ(pair.server.events.last().head, "GET http://example.test /\nx: kept\n");
}

TEST_F(H2Codec, WebSocketIsExtendedConnectOnTheWireOnly) {
  H2Pair pair(world);
  RecordingSink sink;
  Stream& stream = pair.client.codec.open(sink);
  TestHead head(world.blocks);
  head.request("GET", "/chat").add("sec-websocket-version", "13");
  head.head.protocol = "websocket";
  stream.send_head(head, false);
  pair.run();
  RecordingSink& got = pair.server.events.last();
  EXPECT_EQ(got.head,
            "GET http://example.test /chat\nprotocol websocket\nsec-websocket-version: 13\n");
  TestHead switched(world.blocks);
  switched.response(101).length(7);  // which no tunnel has
  switched.head.protocol = "websocket";
  got.stream->send_head(switched, false);
  got.stream->send_data("down", false);
  stream.send_data("up", false);
  pair.run();
  EXPECT_EQ(sink.head, "status 101\nprotocol websocket\n");
  EXPECT_EQ(sink.body, "down");
  EXPECT_EQ(got.body, "up");
  stream.send_data("", true);
  pair.run();
  EXPECT_TRUE(got.ended);
  got.stream->send_data("last", true);
  pair.run();
  EXPECT_EQ(sink.body, "downlast");
  EXPECT_TRUE(sink.ended);
  EXPECT_EQ(pair.client.codec.open_streams(), 0U);
}

// On the wire it is a 502 (see H2Writer.AnswersToUpgrades); our own client restores the original.
TEST_F(H2Codec, AnAnswerThatDoesNotSwitchArrivesAsItWas) {
  for (const auto& [status, arrives] : {std::pair(200, 200), std::pair(403, 403)}) {
    H2Pair pair(world);
    RecordingSink sink;
    Stream& stream = pair.client.codec.open(sink);
    TestHead head(world.blocks);
    head.request();
    head.head.protocol = "websocket";
    stream.send_head(head, false);
    pair.run();
    answer(*pair.server.events.last().stream, status, "no");
    pair.run();
    EXPECT_EQ(sink.status, arrives);
    EXPECT_EQ(sink.head.find("x-outrigger"), std::string::npos) << sink.head;
    EXPECT_EQ(sink.body, "no");
  }
}

TEST_F(H2Codec, ExtendedConnectWaitsForTheSettings) {
  for (const bool known : {true, false}) {
    H2ClientSide client(world);
    client.feeder.settle();
    client.wire.take();
    RecordingSink sink;
    Stream& stream = client.codec.open(sink);
    TestHead head(world.blocks);
    head.request();
    head.head.protocol = "websocket";
    stream.send_head(head, false);
    client.feeder.settle();
    EXPECT_EQ(client.wire.take(), "");
    client.feeder.feed(known ? h2::settings({{h2::enable_connect_protocol, 1}}) : h2::settings());
    std::string bytes = client.wire.take();
    const auto frames = h2::take_frames(bytes);
    EXPECT_EQ(frames.size(), known ? 2U : 1U);  // the acknowledgement, and the head
    EXPECT_EQ(sink.was_reset, !known);
    if (!known) {
      EXPECT_EQ(sink.reset, StreamEnd::no_tunnel);
      EXPECT_EQ(client.codec.open_streams(), 0U);
    }
  }
}

// A server of 8 KiB, as grpc-java's, ends the connection because of a larger head.
TEST_F(H2Codec, AHeadBeyondTheServersLimitIsKeptBackAndTheOthersGo) {
  for (const bool known : {true, false}) {
    H2ClientSide client(world);
    client.feeder.settle();
    client.wire.take();
    const std::string settings = h2::settings({{h2::max_header_list_size, 8192}});
    if (known) client.feeder.feed(settings);
    RecordingSink large;
    RecordingSink fits;
    for (const auto& [sink, size] : {std::pair(&large, 8100), std::pair(&fits, 7700)}) {
      TestHead head(world.blocks);
      head.request();
      const std::string value(static_cast<std::size_t>(size), 'x');
      head.head.fields.add("x-large", value);
      client.codec.open(*sink).send_head(head, true);
    }
    client.feeder.settle();
    if (!known) {
      EXPECT_EQ(client.wire.take(), "") << "they wait for SETTINGS";
      client.feeder.feed(settings);
    }
    EXPECT_EQ(large.reset, StreamEnd::head_refused);
    EXPECT_FALSE(fits.was_reset);
    std::string bytes = client.wire.take();
    std::vector<std::uint32_t> sent;
    for (const h2::Frame& frame : h2::take_frames(bytes)) {
      if (frame.type == h2::type_headers) sent.push_back(frame.stream);
      EXPECT_NE(frame.type, h2::type_rst_stream) << "of a stream that was never opened";
    }
    EXPECT_EQ(sent, std::vector<std::uint32_t>{3});
    EXPECT_EQ(client.codec.open_streams(), 1U);
  }
}

// A small head does not wait for SETTINGS; what has left is the server's to refuse.
TEST_F(H2Codec, WhatWasSentBeforeTheServersLimitWasKnownStaysSent) {
  H2ClientSide client(world);
  client.feeder.settle();
  client.wire.take();
  RecordingSink one;
  RecordingSink two;
  for (const auto& [sink, size] : {std::pair(&one, 2000), std::pair(&two, 300)}) {
    TestHead head(world.blocks);
    head.request();
    const std::string value(static_cast<std::size_t>(size), 'x');
    head.head.fields.add("x-some", value);
    client.codec.open(*sink).send_head(head, true);
  }
  client.feeder.settle();
  client.feeder.feed(h2::settings({{h2::max_header_list_size, 1024}}));
  std::string bytes = client.wire.take();
  int heads = 0;
  for (const h2::Frame& frame : h2::take_frames(bytes)) {
    if (frame.type == h2::type_headers) ++heads;
    EXPECT_NE(frame.type, h2::type_rst_stream);
    EXPECT_NE(frame.type, h2::type_goaway);
  }
  EXPECT_EQ(heads, 2);
  EXPECT_FALSE(one.was_reset || two.was_reset);
}

// RST_STREAM for a stream that was never opened is an error of the connection.
TEST_F(H2Codec, AHeadThatIsCancelledBeforeTheServersLimitIsKnownIsForgotten) {
  H2ClientSide client(world);
  client.feeder.settle();
  client.wire.take();
  RecordingSink sink;
  Stream& stream = client.codec.open(sink);
  TestHead head(world.blocks);
  head.request();
  const std::string value(6000, 'x');
  head.head.fields.add("x-some", value);
  stream.send_head(head, true);
  client.feeder.settle();
  stream.reset(StreamEnd::local);
  client.feeder.settle();
  client.feeder.feed(h2::settings({{h2::max_header_list_size, 1024}}));
  std::string bytes = client.wire.take();
  for (const h2::Frame& frame : h2::take_frames(bytes))
    EXPECT_EQ(frame.type, h2::type_settings) << static_cast<int>(frame.type);
  EXPECT_EQ(client.codec.open_streams(), 0U);
}

// It would be refused again and again; on a new connection it may obey.
TEST_F(H2Codec, AClientThatIgnoresTheLimitIsSentElsewhereWithItsStreamsServed) {
  for (const bool acknowledged : {true, false}) {
    H2ServerSide server(world);
    std::string crowd = h2::preface();
    if (acknowledged) crowd += h2::settings_ack();
    for (std::uint32_t i = 0; i <= world.limits.streams; ++i)
      crowd += h2::headers(1 + 2 * i, h2::request_block(), h2::whole);
    server.feeder.feed(crowd);
    std::string bytes = server.wire.take();
    int refused = 0;
    int goaways = 0;
    for (const h2::Frame& frame : h2::take_frames(bytes)) {
      if (frame.type == h2::type_rst_stream && frame.number() == h2::refused_stream) ++refused;
      if (frame.type == h2::type_goaway) {
        ++goaways;
        EXPECT_EQ(frame.number(4), h2::no_error);
      }
    }
    EXPECT_EQ(refused, 1) << acknowledged;
    EXPECT_EQ(goaways, acknowledged ? 1 : 0);
    EXPECT_EQ(server.events.sinks.size(), world.limits.streams);
    for (auto& sink : server.events.sinks) answer(*sink->stream, 200, "served");
    server.feeder.settle();
    EXPECT_EQ(server.wire.finished, acknowledged);
  }
}

TEST_F(H2Codec, PlainConnect) {
  H2Pair pair(world);
  RecordingSink sink;
  Stream& stream = pair.client.codec.open(sink);
  TestHead head(world.blocks);
  head.request("CONNECT");
  head.head.authority = "db.test:5432";
  stream.send_head(head, false);
  pair.run();
  RecordingSink& got = pair.server.events.last();
  EXPECT_EQ(got.head, "CONNECT ://db.test:5432 \n");
  TestHead back(world.blocks);
  got.stream->send_head(back.response(200).length(3), false);
  stream.send_data("ping", false);
  got.stream->send_data("pong", false);
  pair.run();
  EXPECT_EQ(sink.head, "status 200\n");
  EXPECT_EQ(sink.body, "pong");
  EXPECT_EQ(got.body, "ping");
}

// ---- Ends.

TEST_F(H2Codec, AnEarlyAnswerEndsTheRequestWithoutAnError) {
  H2Pair pair(world);
  RecordingSink sink;
  Stream& stream = post(pair, sink);
  stream.send_data("part", false);
  pair.run();
  answer(*pair.server.events.last().stream, 413, "too much");
  pair.run();
  EXPECT_EQ(sink.story(), "head\nstatus 413\nbody too much\ncomplete\n");
  EXPECT_FALSE(pair.server.events.last().was_reset);
  EXPECT_EQ(world.counters.resets_sent.value(), 1U);
  EXPECT_EQ(pair.server.codec.open_streams(), 0U);
  // What the client still sends is discarded and does no harm.
  EXPECT_EQ(pair.client.codec.open_streams(), 1U);
  stream.send_data(std::string(100000, 'x'), false);
  EXPECT_FALSE(stream.above_high());
  stream.send_data("end", true);
  pair.run();
  EXPECT_EQ(pair.client.codec.open_streams(), 0U);
  EXPECT_FALSE(sink.was_reset);
  EXPECT_EQ(sink.misuse, "");
  RecordingSink next;
  get(pair, next);
  pair.run();
  EXPECT_EQ(pair.server.events.sinks.size(), 2U);
}

TEST_F(H2Codec, AnAnswerInTheSameTurnAsTheEndOfTheRequestResetsNothing) {
  H2ServerSide server(world);
  server.events.stream_hook = [this](RecordingSink& sink) {
    sink.head_hook = [this, &sink](Head&, bool) { answer(*sink.stream, 404, ""); };
  };
  server.feeder.feed(h2::preface() + h2::settings_ack() +
                     h2::headers(1, h2::request_block("POST")) +
                     h2::data(1, "all", h2::end_stream) +
                     h2::headers(3, h2::request_block("POST")) + h2::data(3, "some"));
  EXPECT_EQ(world.counters.resets_sent.value(), 1U);
  std::string bytes = server.wire.take();
  const auto frames = h2::take_frames(bytes);
  EXPECT_EQ(frames.back().type, h2::type_rst_stream);
  EXPECT_EQ(frames.back().stream, 3U);
  EXPECT_EQ(frames.back().number(), h2::no_error);
  EXPECT_EQ(server.codec.open_streams(), 0U);
}

TEST_F(H2Codec, AnEarlyAnswerDrainsAUserThatWaits) {
  H2Pair pair(world);
  RecordingSink sink;
  Stream& stream = post(pair, sink);
  pair.server.events.stream_hook = [](RecordingSink& s) {
    s.head_hook = [&s](Head&, bool) { s.stream->pause(true); };
  };
  pair.run();
  while (!stream.above_high()) stream.send_data(std::string(10000, 'x'), false);
  pair.run();
  EXPECT_EQ(sink.drained, 0);
  answer(*pair.server.events.last().stream, 200, "enough");
  pair.run();
  EXPECT_TRUE(sink.ended);
  EXPECT_EQ(sink.drained, 1);
  stream.reset(StreamEnd::local);
  pair.run();
  EXPECT_EQ(pair.client.codec.open_streams(), 0U);
  EXPECT_EQ(world.memory.bytes_kept() > 0, true);
}

TEST_F(H2Codec, ResetsSayWhy) {
  const std::vector<std::pair<StreamEnd, StreamEnd>> reasons = {
      {StreamEnd::refused, StreamEnd::refused},
      {StreamEnd::cancelled, StreamEnd::cancelled},
      {StreamEnd::idle, StreamEnd::cancelled},
      {StreamEnd::local, StreamEnd::cancelled},
      {StreamEnd::connection_lost, StreamEnd::peer_reset},
      {StreamEnd::protocol_error, StreamEnd::peer_reset},
      {StreamEnd::too_large, StreamEnd::peer_reset},
  };
  for (const auto& [said, heard] : reasons) {
    H2Pair pair(world);
    RecordingSink one;
    Stream& stream = post(pair, one);
    RecordingSink two;
    post(pair, two);
    pair.run();
    stream.reset(said);
    pair.server.events.last().stream->reset(said);
    pair.run();
    EXPECT_EQ(pair.server.events.sinks[0]->reset, heard) << to_string(said);
    EXPECT_TRUE(pair.server.events.sinks[0]->was_reset);
    EXPECT_FALSE(one.was_reset);
    EXPECT_TRUE(two.was_reset);
    EXPECT_EQ(two.reset, heard) << to_string(said);
    EXPECT_EQ(pair.client.codec.open_streams() + pair.server.codec.open_streams(), 0U);
  }
}

// An app breaks off in the middle: the part it has sent is still useful to the caller.
TEST_F(H2Codec, WhatWasSentBeforeAResetArrivesBeforeIt) {
  H2Pair pair(world);
  RecordingSink sink;
  TestHead request(world.blocks);
  pair.client.codec.open(sink).send_head(request.request(), true);
  pair.run();
  TestHead answer(world.blocks);
  Stream& stream = *pair.server.events.last().stream;
  stream.send_head(answer.response(200), false);
  stream.send_data("the beginning", false);
  stream.reset(StreamEnd::peer_reset);
  pair.run();
  EXPECT_EQ(sink.status, 200);
  EXPECT_EQ(sink.body, "the beginning");
  EXPECT_TRUE(sink.was_reset);
}

TEST_F(H2Codec, AStreamResetInTheTurnItWasOpened) {
  H2Pair pair(world);
  RecordingSink unsent;
  pair.client.codec.open(unsent).reset(StreamEnd::local);
  RecordingSink queued;
  get(pair, queued).reset(StreamEnd::local);
  pair.run();
  EXPECT_EQ(pair.client.codec.open_streams(), 0U);
  ASSERT_EQ(pair.server.events.sinks.size(), 1U);
  EXPECT_TRUE(pair.server.events.sinks[0]->was_reset);
  EXPECT_EQ(pair.server.codec.open_streams(), 0U);
  EXPECT_FALSE(unsent.was_reset || queued.was_reset);
  RecordingSink next;
  get(pair, next);
  pair.run();
  EXPECT_EQ(pair.server.events.sinks.size(), 2U);
  EXPECT_FALSE(pair.server.events.last().was_reset);
}

TEST_F(H2Codec, WhatASinkDoesInItsCallbacksIsSafe) {
  H2Pair pair(world);
  // Each request resets the one before it, from inside on_head(), and answers itself.
  pair.server.events.stream_hook = [this, &pair](RecordingSink& sink) {
    sink.head_hook = [this, &pair, &sink](Head&, bool) {
      auto& sinks = pair.server.events.sinks;
      if (sinks.size() % 2 == 0) {
        sinks[sinks.size() - 2]->stream->reset(StreamEnd::local);
        answer(*sink.stream, 200, std::string(5000, 'y'));
      }
    };
  };
  std::deque<RecordingSink> sinks;
  for (int i = 0; i < 10; ++i) get(pair, sinks.emplace_back());
  // The first reset to arrive cancels another stream and opens a new one.
  RecordingSink another;
  sinks[0].reset_hook = [this, &pair, &another](StreamEnd) { get(pair, another); };
  pair.run();
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(sinks[i].was_reset, i % 2 == 0) << i;
    EXPECT_EQ(sinks[i].ended, i % 2 == 1) << i;
    EXPECT_EQ(sinks[i].misuse, "");
  }
  EXPECT_EQ(pair.server.events.sinks.size(), 11U);
}

TEST_F(H2Codec, ThePeersEndEndsAll) {
  for (const bool orderly : {true, false}) {
    H2Pair pair(world);
    RecordingSink open;
    post(pair, open);
    RecordingSink answered;
    Stream& rest = post(pair, answered);
    pair.run();
    answer(*pair.server.events.sinks[1]->stream, 200, "x");
    pair.server.feeder.settle();
    // The response arrives, the RST_STREAM after it does not.
    std::string bytes = pair.server.wire.take();
    pair.client.feeder.feed(bytes.substr(0, bytes.size() - 13));
    EXPECT_TRUE(answered.ended);
    if (orderly) {
      pair.client.feeder.end();
      pair.server.feeder.end();
    } else {
      pair.client.codec.connection_lost(true);
      pair.server.codec.connection_lost(true);
    }
    EXPECT_EQ(open.reset, StreamEnd::connection_lost);
    EXPECT_EQ(pair.server.events.sinks[0]->reset, StreamEnd::cancelled);
    // Its response was complete, which the reason says; but the stream is dead.
    EXPECT_TRUE(answered.was_reset);
    EXPECT_EQ(answered.reset, StreamEnd::complete);
    (void)rest;
    EXPECT_EQ(pair.client.events.retiring, 1);
    EXPECT_EQ(pair.client.codec.capacity(), 0U);
    EXPECT_EQ(pair.client.wire.finished, orderly);
    EXPECT_EQ(pair.server.wire.finished, orderly);
    EXPECT_EQ(pair.client.codec.open_streams() + pair.server.codec.open_streams(), 0U);
  }
}

TEST_F(H2Codec, ARequestThatNeverLeftIsNotLostButRefused) {
  for (const bool orderly : {true, false}) {
    H2Pair pair(world);
    RecordingSink sent;
    post(pair, sent);
    pair.run();
    RecordingSink unsent;
    post(pair, unsent);  // the turn has not ended when the connection does
    orderly ? pair.client.feeder.end() : pair.client.codec.connection_lost(true);
    EXPECT_EQ(sent.reset, StreamEnd::connection_lost);
    EXPECT_EQ(unsent.reset, StreamEnd::refused);
  }
}

TEST_F(H2Codec, ThePoolHearsOfTheEndBeforeTheStreamsDo) {
  H2Pair pair(world);
  RecordingSink sink;
  get(pair, sink);
  int retiring_then = -1;
  sink.reset_hook = [&](StreamEnd) { retiring_then = pair.client.events.retiring; };
  pair.client.feeder.feed(h2::ping("short"));
  EXPECT_EQ(retiring_then, 1);
}

// ---- The connection's end.

TEST_F(H2Codec, DrainingTakesTwoSteps) {
  H2ServerSide server(world);
  server.feeder.feed(h2::preface() + h2::settings_ack());
  server.feeder.feed(h2::headers(1, h2::request_block(), h2::whole));
  server.wire.take();
  server.codec.drain();
  server.codec.drain();
  server.feeder.settle();
  std::string bytes = server.wire.take();
  auto frames = h2::take_frames(bytes);
  ASSERT_EQ(frames.size(), 2U);
  // A client that answered the PING first could still open a stream, which would not be accepted.
  const auto& notice = frames[0];
  const auto& ping = frames[1];
  ASSERT_EQ(notice.type, h2::type_goaway);
  ASSERT_EQ(ping.type, h2::type_ping);
  EXPECT_EQ(notice.number(), 0x7fffffffU);
  EXPECT_EQ(notice.number(4), h2::no_error);
  // A request that was in flight is served.
  server.feeder.feed(h2::headers(3, h2::request_block(), h2::whole));
  ASSERT_EQ(server.events.sinks.size(), 2U);
  server.feeder.feed(h2::ping(ping.payload, h2::ack));
  bytes = server.wire.take();
  frames = h2::take_frames(bytes);
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(frames[0].type, h2::type_goaway);
  EXPECT_EQ(frames[0].number(), 3U);
  // Later ones are ignored, including their bodies; the client knows that they were not processed.
  server.feeder.feed(h2::headers(5, h2::request_block("POST")) + h2::data(5, "x", h2::end_stream));
  EXPECT_EQ(server.events.sinks.size(), 2U);
  EXPECT_FALSE(server.wire.finished);
  answer(*server.events.sinks[0]->stream, 200, "a");
  answer(*server.events.sinks[1]->stream, 200, "b");
  server.feeder.settle();
  EXPECT_TRUE(server.wire.finished);
  EXPECT_EQ(server.events.idle, 1);
}

TEST_F(H2Codec, DrainingBothEnds) {
  H2Pair pair(world);
  RecordingSink sink;
  get(pair, sink);
  pair.run();
  pair.server.codec.drain();
  pair.run();
  EXPECT_EQ(pair.client.events.retiring, 1);
  EXPECT_EQ(pair.client.codec.capacity(), 0U);
  EXPECT_FALSE(pair.client.wire.finished);
  answer(*pair.server.events.last().stream, 200, "x");
  pair.run();
  EXPECT_TRUE(sink.ended);
  EXPECT_TRUE(pair.client.wire.finished);
  EXPECT_TRUE(pair.server.wire.finished);
}

TEST_F(H2Codec, AClientDrains) {
  H2Pair pair(world);
  RecordingSink sink;
  get(pair, sink);
  pair.run();
  pair.client.codec.drain();
  EXPECT_EQ(pair.client.codec.capacity(), 0U);
  pair.run();
  EXPECT_EQ(pair.client.events.retiring, 1);
  EXPECT_FALSE(pair.client.wire.finished);
  answer(*pair.server.events.last().stream, 200, "x");
  pair.run();
  EXPECT_TRUE(pair.client.wire.finished);
  EXPECT_TRUE(pair.server.wire.finished);
}

TEST_F(H2Codec, GoawayRefusesWhatTheServerNeverSaw) {
  H2Pair pair(world);
  RecordingSink one, two;
  get(pair, one);
  get(pair, two);
  pair.client.feeder.settle();
  pair.client.feeder.feed(h2::goaway(1, h2::no_error));
  EXPECT_FALSE(one.was_reset);
  EXPECT_TRUE(two.was_reset);
  EXPECT_EQ(two.reset, StreamEnd::refused);
  EXPECT_EQ(pair.client.events.retiring, 1);
  pair.client.feeder.feed(h2::headers(1, h2::response_block(), h2::whole));
  EXPECT_TRUE(one.ended);
  EXPECT_TRUE(pair.client.wire.finished);
}

TEST_F(H2Codec, CapacityFollowsThePeer) {
  H2ClientSide client(world);
  EXPECT_EQ(client.codec.capacity(), 100U);
  client.feeder.feed(h2::settings({{h2::max_concurrent_streams, 2}}) + h2::settings_ack());
  EXPECT_EQ(client.events.capacity, 1);
  EXPECT_EQ(client.codec.capacity(), 2U);
  RecordingSink one, two;
  TestHead head(world.blocks);
  head.request();
  client.codec.open(one).send_head(head, true);
  client.codec.open(two).send_head(head, true);
  EXPECT_EQ(client.codec.capacity(), 0U);
  client.feeder.settle();
  client.feeder.feed(h2::headers(1, h2::response_block(), h2::whole));
  EXPECT_EQ(client.codec.capacity(), 1U);
  EXPECT_EQ(client.events.capacity, 2);
  client.feeder.feed(h2::settings({{h2::max_concurrent_streams, 1000}}));
  EXPECT_EQ(client.codec.capacity(), 99U);  // our own limit
}

TEST_F(H2Codec, AConnectionRetiresWhenItsIdsAreUsedUp) {
  world.limits.stream_id_max = 5;
  H2Pair pair(world);
  std::deque<RecordingSink> sinks;
  for (int i = 0; i < 3; ++i) {
    EXPECT_GT(pair.client.codec.capacity(), 0U);
    get(pair, sinks.emplace_back());
    pair.run();
  }
  EXPECT_EQ(pair.client.codec.capacity(), 0U);
  EXPECT_EQ(pair.client.events.retiring, 1);
  for (const auto& sink : pair.server.events.sinks) answer(*sink->stream, 200, "x");
  pair.run();
  for (const RecordingSink& sink : sinks) EXPECT_TRUE(sink.ended);
  EXPECT_TRUE(pair.client.wire.finished);
}

TEST_F(H2Codec, Pings) {
  H2Pair pair(world);
  pair.client.codec.ping();
  EXPECT_EQ(pair.client.codec.answered_pings(), 0U);
  pair.run();
  EXPECT_EQ(pair.client.codec.answered_pings(), 1U);
  // Unsolicited acknowledgements do not count.
  pair.client.feeder.feed(h2::ping("12345678", h2::ack));
  EXPECT_EQ(pair.client.codec.answered_pings(), 1U);
  EXPECT_EQ(world.counters.glitches.value(), 1U);
}

TEST_F(H2Codec, ReceivingHead) {
  H2ServerSide server(world);
  EXPECT_FALSE(server.codec.receiving_head());
  const std::string preface = h2::preface();
  server.feeder.feed(preface.substr(0, 10));
  EXPECT_TRUE(server.codec.receiving_head());
  server.feeder.feed(preface.substr(10));
  EXPECT_FALSE(server.codec.receiving_head());
  const std::string block = h2::request_block();
  const std::string head = h2::headers(1, block.substr(0, 4), h2::end_stream);
  server.feeder.feed(head.substr(0, 11));
  EXPECT_TRUE(server.codec.receiving_head());
  server.feeder.feed(head.substr(11));
  EXPECT_TRUE(server.codec.receiving_head());
  server.feeder.feed(h2::continuation(1, block.substr(4)));
  EXPECT_FALSE(server.codec.receiving_head());
  EXPECT_EQ(server.events.sinks.size(), 1U);
}

TEST_F(H2Codec, OnlySoManyNewStreamsAFeed) {
  world.limits.new_streams_per_feed = 10;
  H2ServerSide server(world);
  std::string bytes = h2::preface();
  for (std::uint32_t i = 0; i < 25; ++i) {
    bytes += h2::headers(1 + 2 * i, h2::request_block(), h2::whole);
  }
  const std::size_t taken = server.codec.feed(bytes, 1);
  EXPECT_EQ(server.events.sinks.size(), 10U);
  EXPECT_TRUE(server.wire.redeliver_wanted);
  EXPECT_LT(taken, bytes.size());
  bytes.erase(0, taken);
  bytes.erase(0, server.codec.feed(bytes, 1));
  EXPECT_EQ(server.events.sinks.size(), 20U);
  // The next one arrives in pieces, in feeds of its own.
  EXPECT_EQ(server.codec.feed(bytes, 1), bytes.size());
  EXPECT_EQ(server.events.sinks.size(), 25U);
}

TEST_F(H2Codec, LargeHeadsOfSeveralSessionsDoNotMix) {
  H2Pair one(world);
  H2Pair two(world);
  RecordingSink a, b;
  const auto ask = [this](H2Pair& pair, RecordingSink& sink, char c) {
    TestHead head(world.blocks);
    head.request();
    const std::string text(7000, c);
    for (const char* name : {"x1", "x2", "x3", "x4", "x5"}) head.add(name, text);
    pair.client.codec.open(sink).send_head(head, true);
  };
  ask(one, a, 'a');
  ask(two, b, 'b');
  one.run();
  two.run();
  ASSERT_EQ(one.server.events.sinks.size(), 1U);
  ASSERT_EQ(two.server.events.sinks.size(), 1U);
  EXPECT_EQ(one.server.events.last().head.find('b', 30), std::string::npos);
  EXPECT_NE(one.server.events.last().head.find(std::string(7000, 'a')), std::string::npos);
  EXPECT_NE(two.server.events.last().head.find("x5: " + std::string(7000, 'b')), std::string::npos);
}

TEST_F(H2Codec, AHeadBeyondAllLimitsEndsItsStreamOnly) {
  H2Pair pair(world);
  RecordingSink sink;
  get(pair, sink);
  pair.run();
  TestHead head(world.blocks);
  head.response(200);
  const std::string text(60000, 'x');
  for (const char* name : {"a", "b", "c", "d", "e"}) head.add(name, text);
  pair.server.events.last().stream->send_head(head, true);
  pair.run();
  EXPECT_TRUE(sink.was_reset);
  EXPECT_FALSE(pair.client.wire.finished);
  EXPECT_EQ(pair.server.codec.open_streams(), 0U);
}

}  // namespace
}  // namespace outrigger::http
