#include "support/h2_cases.h"
#include "support/h2_frames.h"

namespace outrigger::http::h2 {
namespace {

using What = Expect::What;
using Cases = std::vector<ClientCase>;

Expect goes(std::vector<std::uint32_t> codes) {
  return {.what = What::goaway, .codes = std::move(codes)};
}
Expect reset(std::uint32_t code) {
  return {.what = What::reset, .codes = {code}};
}
Expect whole_answer() {
  return {.what = What::answer};
}
Expect alive() {
  return {};
}
std::string ok(std::uint8_t flags = end_headers, const FieldList& more = {}) {
  return headers(1, response_block(200, more), flags);
}
std::string answer(const FieldList& more = {}, std::string_view body = "hello") {
  return ok(end_headers, more) + data(1, body, end_stream);
}

struct Adder {
  Cases& to;
  void dies(std::string id, std::vector<std::string> steps, std::vector<std::uint32_t> codes,
            StreamEnd end = StreamEnd::protocol_error) const {
    to.push_back({std::move(id), std::move(steps), goes(std::move(codes)), end});
  }
  void malformed(std::string id, std::vector<std::string> steps) const {
    to.push_back(
        {std::move(id), std::move(steps), reset(protocol_error), StreamEnd::protocol_error});
  }
  void good(std::string id, std::vector<std::string> steps) const {
    to.push_back({std::move(id), std::move(steps), whole_answer()});
  }
  // Its steps are answered by this frame; then comes the answer.
  void answers(std::string id, std::vector<std::string> steps, std::string frame) const {
    steps.push_back(answer());
    to.push_back(
        {std::move(id), std::move(steps), {.what = What::answer, .contains = std::move(frame)}});
  }
  void ends(std::string id, std::vector<std::string> steps, StreamEnd end) const {
    to.push_back({std::move(id), std::move(steps), alive(), end});
  }
};

void add_preface(const Adder& add) {
  add.good("3.4 preface", {answer()});
  const auto own = [&add](std::string id, std::string bytes, std::uint32_t code,
                          StreamEnd end = StreamEnd::protocol_error) {
    add.to.push_back({.id = std::move(id),
                      .steps = {std::move(bytes)},
                      .expect = goes({code}),
                      .end = end,
                      .own_preface = true});
  };
  own("3.4 no SETTINGS first", ping(), protocol_error);
  own("3.4 an answer first", answer(), protocol_error);
  own("3.4 acknowledgement first", settings_ack(), protocol_error);
  own("3.4 an HTTP/1 answer", "HTTP/1.1 400 Bad Request\r\n\r\n", protocol_error,
      StreamEnd::wrong_version);
  own("3.4 the client's magic", preface(), protocol_error);
  own("3.4 GOAWAY first", goaway(0, 0), protocol_error);
}

void add_frames(const Adder& add) {
  add.good("8.1 an answer", {answer()});
  add.to.push_back({.id = "8.1 an answer to POST",
                    .steps = {answer()},
                    .expect = whole_answer(),
                    .method = "POST",
                    .body = 5,
                    .sent = {5}});
  add.good("8.1 an answer in steps",
           {ok(), data(1, "he"), data(1, "llo"), data(1, "", end_stream)});
  add.good("8.1 an answer without a body", {ok(whole)});
  add.good("8.1 trailers", {ok() + data(1, "x") + headers(1, block({{"x-t", "1"}}), whole)});
  add.good("8.1 interim answers", {headers(1, response_block(100)) +
                                   headers(1, response_block(103, {{"link", "</a>"}})) + answer()});
  add.good("4.1 unknown frames", {frame(0x42, 7, 1, "x") + answer()});
  add.good("4.1 undefined flags", {headers(1, response_block(), end_headers | 0xd2) +
                                   data(1, "hello", end_stream | 0xf6)});
  add.good("4.1 reserved bit",
           {headers(0x80000001, response_block()) + data(0x80000001, "hello", end_stream)});
  add.good("4.2 DATA of the largest size", {ok() + data(1, std::string(16384, 'x'), end_stream)});
  add.good("6.1 padding", {ok() + padded_data(1, "hello", 200, end_stream)});
  add.good("6.2 padding",
           {headers(1, "\x03" + response_block() + std::string(3, '\0'), whole | padded)});
  add.good("6.10 several", {headers(1, response_block().substr(0, 3), end_stream) +
                            continuation(1, response_block().substr(3, 4), none) +
                            continuation(1, response_block().substr(7))});
  add.good("6.10 CONTINUATION", {headers(1, "", end_stream) + continuation(1, response_block())});
  add.good("5.3 weight 1", {priority(1, 0, 0) + answer()});
  add.good("5.3 weight 256", {priority(1, 0, 255) + answer()});
  add.good("5.3 a dependency", {priority(3, 1) + answer()});
  add.good("5.3 an exclusive dependency", {priority(1, 0x80000003) + answer()});
  add.good("5.3 HEADERS with priority",
           {headers(1, big_endian(0, 4) + "\xff" + response_block(), whole | priority_flag)});
  add.good("5.3 priorities", {priority(1, 3) + answer()});
  add.good("7.? ALTSVC and ORIGIN", {frame(0xa, 0, 0, std::string("\0\1ah2=\":1\"", 10)) +
                                     frame(0xc, 0, 0, std::string("\0\1a", 3)) + answer()});
  add.dies("4.2 oversize DATA", {ok() + data(1, std::string(16385, 'x'))}, {frame_size_error});
  add.dies("4.2 oversize HEADERS",
           {ok(whole, {{"x", std::string(8000, 'x')}, {"y", std::string(8500, 'y')}})},
           {frame_size_error});
  add.dies("4.2 oversize unknown frame", {frame(0x77, 0, 0, std::string(16385, 'x'))},
           {frame_size_error});
  add.dies("4.3 a broken block", {headers(1, indexed(99), whole)}, {compression_error});
  add.dies("4.3 PING inside a block", {headers(1, response_block(), end_stream) + ping()},
           {protocol_error});
  add.dies("4.3 PRIORITY inside a block",
           {headers(1, response_block(), end_stream) + priority(1, 0) + continuation(1, "")},
           {protocol_error});
  add.dies("4.3 HEADERS of another stream inside a block",
           {headers(1, response_block(), end_stream) + headers(3, response_block(), whole)},
           {protocol_error});
  add.dies(
      "5.5 unknown frame inside a block",
      {headers(1, response_block(), end_stream) + frame(0xfa, 0, 1, "x") + continuation(1, "")},
      {protocol_error});
  add.dies("5.4.1 nothing follows GOAWAY", {frame(type_ping, 0, 0, "1234567"), answer()},
           {frame_size_error});
  add.dies("5.4.1 a second error behind the first, in one write",
           {frame(type_ping, 0, 0, "1234567") + frame(type_settings, 0, 0, "12345") +
            window_update(0, 0)},
           {frame_size_error});
  add.dies("6.1 DATA on stream 0", {data(0, "x")}, {protocol_error});
  add.dies("6.1 DATA before HEADERS", {data(1, "hello", end_stream)}, {protocol_error});
  add.dies("6.1 padding beyond the payload", {ok() + frame(type_data, padded, 1, "\x09x")},
           {protocol_error});
  add.dies("6.2 HEADERS on stream 0", {headers(0, response_block(), whole)}, {protocol_error});
  add.dies("6.2 padding beyond the payload",
           {headers(1, "\xff" + response_block(), whole | padded)}, {protocol_error});
  add.dies("6.3 PRIORITY on stream 0", {priority(0, 1)}, {protocol_error});
  add.dies("6.3 PRIORITY of a wrong length", {frame(type_priority, 0, 1, "1234")},
           {frame_size_error});
  add.dies("6.4 RST_STREAM of a wrong length", {frame(type_rst_stream, 0, 1, "12345")},
           {frame_size_error});
  add.dies("6.4 RST_STREAM on stream 0", {rst_stream(0, 1)}, {protocol_error});
  add.dies("6.5 SETTINGS of a wrong length", {frame(type_settings, 0, 0, "12345")},
           {frame_size_error});
  add.dies("6.5 SETTINGS on a stream", {frame(type_settings, 0, 1, "")}, {protocol_error});
  add.dies("6.5 acknowledgement with a payload", {frame(type_settings, ack, 0, "123456")},
           {frame_size_error});
  add.dies("6.5 an acknowledgement too many", {settings_ack()}, {protocol_error});
  add.dies("6.5.2 a server that asks for pushes", {settings({{enable_push, 1}})}, {protocol_error});
  add.dies("6.5.2 a window too large", {settings({{initial_window_size, 0x80000000}})},
           {flow_control_error});
  add.dies("6.5.2 a frame size too small", {settings({{max_frame_size, 100}})}, {protocol_error});
  add.dies("6.5.2 ENABLE_PUSH beyond 1", {settings({{enable_push, 2}})}, {protocol_error});
  add.dies("6.5.2 a frame size too large", {settings({{max_frame_size, 16777216}})},
           {protocol_error});
  add.answers("6.5 SETTINGS", {settings({{header_table_size, 4096}, {max_frame_size, 16384}})},
              settings_ack());
  add.answers("6.5.2 unknown setting", {settings({{0xff, 1}})}, settings_ack());
  add.answers("6.5.3 acknowledged", {settings()}, settings_ack());
  add.answers("6.7 PING", {ping("abcdefgh")}, ping("abcdefgh", ack));
  add.to.push_back({.id = "6.7 an acknowledgement is not answered",
                    .steps = {ping("abcdefgh", ack), answer()},
                    .expect = {.lacks = ping("abcdefgh", ack)}});
  add.good("6.9 WINDOW_UPDATE of the connection", {window_update(0, 100) + answer()});
  add.good("6.9 WINDOW_UPDATE of a stream", {window_update(1, 100) + answer()});
  add.good("5.1.2 fewer streams than are open",
           {settings({{max_concurrent_streams, 0}}), answer()});
  add.dies("RFC 8441 3 extended CONNECT taken back",
           {settings({{enable_connect_protocol, 1}}), settings({{enable_connect_protocol, 0}})},
           {protocol_error});
  add.dies("6.6 a push", {push_promise(1, 2, request_block())}, {protocol_error});
  add.dies("6.6 a push on stream 0", {push_promise(0, 2, request_block())}, {protocol_error});
  add.dies("6.7 PING of a wrong length", {frame(type_ping, 0, 0, "1234567")}, {frame_size_error});
  add.dies("6.7 PING on a stream", {frame(type_ping, 0, 1, "12345678")}, {protocol_error});
  add.dies("6.8 GOAWAY of a wrong length", {frame(type_goaway, 0, 0, "1234567")},
           {frame_size_error});
  add.dies("6.8 GOAWAY on a stream", {frame(type_goaway, 0, 1, "12345678")}, {protocol_error});
  add.dies("6.8 GOAWAY that grows", {goaway(1, 0) + goaway(3, 0)}, {protocol_error});
  add.dies("6.9 WINDOW_UPDATE of nothing", {window_update(0, 0)}, {protocol_error});
  add.dies("6.9 WINDOW_UPDATE of a wrong length", {frame(type_window_update, 0, 0, "12345")},
           {frame_size_error});
  add.dies("6.9.1 a window beyond the maximum", {window_update(0, 0x7fffffff)},
           {flow_control_error});
  add.dies("6.9.1 a window beyond the maximum, twice",
           {window_update(0, 0x7fffffff) + window_update(0, 0x7fffffff)}, {flow_control_error});
  const std::string cut = response_block();
  add.dies("6.10 followed by another frame",
           {headers(1, cut.substr(0, 3), none) + continuation(1, cut.substr(3), none) +
            data(1, "x", end_stream)},
           {protocol_error});
  add.dies("6.10 stream 0",
           {headers(1, cut.substr(0, 3), end_stream) + continuation(0, cut.substr(3))},
           {protocol_error});
  add.dies("6.10 another stream",
           {headers(1, cut.substr(0, 3), end_stream) + continuation(3, cut.substr(3))},
           {protocol_error});
  add.dies("6.10 behind END_HEADERS", {ok() + continuation(1, "\x88")}, {protocol_error});
  add.dies("6.10 behind its own end",
           {headers(1, cut.substr(0, 3), none) + continuation(1, cut.substr(3)) +
            continuation(1, "\x88")},
           {protocol_error});
  add.dies("6.10 behind DATA", {ok() + data(1, "x") + continuation(1, "\x88")}, {protocol_error});
  add.dies("6.10 CONTINUATION out of nowhere", {continuation(1, response_block())},
           {protocol_error});
}

void add_streams(const Adder& add) {
  add.dies("5.1 idle: HEADERS", {headers(3, response_block(), whole)}, {protocol_error});
  add.dies("5.1 idle: DATA", {data(3, "x")}, {protocol_error});
  add.dies("5.1 idle: RST_STREAM", {rst_stream(3, cancel)}, {protocol_error});
  add.dies("5.1 idle: WINDOW_UPDATE", {window_update(3, 1)}, {protocol_error});
  add.dies("5.1 idle: CONTINUATION", {continuation(3, response_block())}, {protocol_error});
  add.good("5.1 idle: PRIORITY", {priority(3, 0) + answer()});
  add.dies("5.1.1 WINDOW_UPDATE on a stream of the server's", {window_update(2, 100)},
           {protocol_error});
  add.dies("5.1.1 CONTINUATION on a stream of the server's", {continuation(2, response_block())},
           {protocol_error});
  add.dies("5.1.1 HEADERS on a stream of the server's", {headers(2, response_block(), whole)},
           {protocol_error});
  add.dies("5.1.1 DATA on a stream of the server's", {data(2, "x")}, {protocol_error});
  add.dies("5.1.1 RST_STREAM on a stream of the server's", {rst_stream(2, 0)}, {protocol_error});
  const auto after = [&add](std::string id, std::string more, std::uint32_t code) {
    add.to.push_back({"5.1 closed: " + std::move(id), {answer(), std::move(more)}, goes({code})});
  };
  after("HEADERS", headers(1, response_block(), whole), stream_closed);
  after("DATA", data(1, "x"), stream_closed);
  after("CONTINUATION", continuation(1, "x"), protocol_error);
  add.good("5.1 closed: RST_STREAM", {answer(), rst_stream(1, no_error)});
  add.good("5.1 closed: WINDOW_UPDATE", {answer(), window_update(1, 9)});
  add.good("5.1 closed: PRIORITY", {answer(), priority(1, 0)});
  const auto behind_reset = [&add](std::string id, std::string more,
                                   std::vector<std::uint32_t> codes) {
    add.dies("5.1 reset: " + std::move(id), {ok() + rst_stream(1, cancel) + std::move(more)},
             std::move(codes), StreamEnd::cancelled);
  };
  for (const auto& [id, late] : {std::pair{"DATA", data(1, "x", end_stream)},
                                 std::pair{"HEADERS", headers(1, response_block(), whole)}}) {
    add.to.push_back({.id = std::string("5.1 reset: ") + id,
                      .steps = {ok() + rst_stream(1, cancel) + late},
                      .expect = reset(stream_closed),
                      .end = StreamEnd::cancelled});
  }
  behind_reset("CONTINUATION", continuation(1, "\x88"), {stream_closed, protocol_error});
  // RFC 9113 has answers' priorities ignored, and asks for no more.
  add.good("5.3.1 HEADERS that depend on themselves",
           {headers(1, big_endian(1, 4) + "\x0f" + response_block(), whole | priority_flag)});
  const auto kind = [&add](std::string id, Expect expect, StreamEnd end, std::string bytes) {
    add.to.push_back({std::move(id), {std::move(bytes)}, std::move(expect), end});
  };
  kind("5.3.1 PRIORITY that depends on itself",
       {.what = What::reset_or_goaway, .codes = {protocol_error}}, StreamEnd::protocol_error,
       priority(1, 1));
  kind("6.9 WINDOW_UPDATE of nothing on a stream",
       {.what = What::reset_or_goaway, .codes = {protocol_error}}, StreamEnd::protocol_error,
       ok() + window_update(1, 0));
  kind("6.9.1 a stream's window beyond the maximum", reset(flow_control_error),
       StreamEnd::protocol_error,
       ok() + window_update(1, 0x7fffffff) + window_update(1, 0x7fffffff));
  for (const auto& [id, bytes] :
       {std::pair{"PRIORITY", priority(1, 0)}, std::pair{"WINDOW_UPDATE", window_update(1, 100)}}) {
    add.to.push_back({.id = std::string("5.1 half-closed: ") + id,
                      .steps = {answer() + bytes},
                      .expect = whole_answer(),
                      .method = "POST",
                      .open = true});
  }
  add.to.push_back({.id = "5.1 half-closed: CONTINUATION",
                    .steps = {answer() + continuation(1, "\x88")},
                    .expect = goes({stream_closed, protocol_error}),
                    .method = "POST",
                    .open = true});
  // The request has not ended: the stream is half-closed, not closed.
  add.to.push_back({.id = "5.1 half-closed: DATA",
                    .steps = {answer() + data(1, "x")},
                    .expect = goes({stream_closed}),
                    .method = "POST",
                    .open = true});
  add.to.push_back({.id = "5.1 half-closed: HEADERS",
                    .steps = {answer() + headers(1, response_block(), whole)},
                    .expect = goes({stream_closed}),
                    .method = "POST",
                    .open = true});
  add.to.push_back({.id = "8.1 an early answer, then RST_STREAM(NO_ERROR)",
                    .steps = {answer() + rst_stream(1, no_error)},
                    .expect = whole_answer(),
                    .method = "POST",
                    .open = true});
  add.ends("6.4 refused", {rst_stream(1, refused_stream)}, StreamEnd::refused);
  add.ends("6.4 cancelled", {rst_stream(1, cancel)}, StreamEnd::cancelled);
  add.ends("6.4 any other code", {rst_stream(1, internal_error)}, StreamEnd::peer_reset);
  add.ends("6.4 an unknown code", {rst_stream(1, 0xffff)}, StreamEnd::peer_reset);
  add.ends("6.4 NO_ERROR before an answer", {rst_stream(1, no_error)}, StreamEnd::peer_reset);
  add.ends("6.4 NO_ERROR in an answer", {ok() + data(1, "x") + rst_stream(1, no_error)},
           StreamEnd::peer_reset);
  const auto last = [&add](std::string id, std::vector<std::string> steps, StreamEnd end) {
    add.to.push_back({std::move(id), std::move(steps), {.what = What::quiet}, end});
  };
  last("6.8 GOAWAY before the stream", {goaway(0, no_error)}, StreamEnd::refused);
  last("6.8 GOAWAY behind the stream", {goaway(1, no_error), answer()}, StreamEnd::complete);
  last("6.8 GOAWAY in two steps", {goaway(0x7fffffff, no_error), goaway(1, no_error), answer()},
       StreamEnd::complete);
  last("6.8 GOAWAY with an unknown code", {goaway(0, 0xabc, "text")}, StreamEnd::refused);
}

// A request that is larger than the first window by ten bytes.
void add_windows(const Adder& add) {
  constexpr std::size_t first = 65535;
  const auto flows = [&add](std::string id, std::vector<std::string> steps,
                            std::vector<std::size_t> sent) {
    steps.front() = window_update(0, 100) + steps.front();
    steps.push_back(answer());
    sent.push_back(first + 10);
    add.to.push_back({.id = std::move(id),
                      .steps = std::move(steps),
                      .expect = whole_answer(),
                      .method = "POST",
                      .body = first + 10,
                      .sent = std::move(sent)});
  };
  flows("6.9.1 a window of one byte",
        {window_update(1, 1), window_update(1, 1), window_update(1, 8)},
        {first + 1, first + 2, first + 10});
  flows("6.9.1 the connection's window", {window_update(1, 1000)}, {first + 10});
  flows("6.9.2 a window that changes while open",
        {settings({{initial_window_size, first + 1}}), window_update(1, 9)},
        {first + 1, first + 10});
  flows("6.9.2 a window below zero",
        {settings({{initial_window_size, first - 3}}), window_update(1, 4), window_update(1, 9)},
        {first, first + 1, first + 10});
  flows("6.5.3 the last value counts",
        {settings({{initial_window_size, first + 10}, {initial_window_size, first + 1}}),
         window_update(1, 9)},
        {first + 1, first + 10});
}

void add_hpack(const Adder& add) {
  const auto good = [&add](const std::string& id, const std::string& block) {
    add.good("RFC 7541 " + id, {headers(1, block) + data(1, "hello", end_stream)});
  };
  good("6.1 an indexed field", indexed(8));
  good("6.3 a table size", table_size(128) + response_block());
  good("6.3 two table sizes", table_size(128) + table_size(4096) + response_block());
  for (const auto& [id, bytes] : hpack_fields()) good(id, response_block() + bytes);
  for (const auto& [id, bytes] : hpack_errors()) {
    add.dies("RFC 7541 " + id, {headers(1, response_block() + bytes, whole)}, {compression_error});
  }
  add.dies("RFC 7541 6.3 a table larger than agreed",
           {headers(1, table_size(70000) + response_block(), whole)}, {compression_error});
}

void add_messages(const Adder& add) {
  const auto with = [](const FieldList& more) { return ok(whole, more); };
  add.malformed("8.1 trailers that do not end", {ok() + headers(1, block({{"x-t", "1"}}))});
  add.malformed("8.1 an interim answer that ends", {headers(1, response_block(100), whole)});
  add.malformed("8.1 DATA behind an interim answer",
                {headers(1, response_block(100)) + data(1, "x")});
  std::string interims;
  for (int i = 0; i < 65; ++i) interims += headers(1, response_block(103));
  add.malformed("8.1 interim answers without end", {interims});
  add.malformed("8.1.1 length, too much", {answer({{"content-length", "4"}})});
  add.malformed("8.1.1 length, several DATA", {ok(end_headers, {{"content-length", "1"}}) +
                                               data(1, "he") + data(1, "llo", end_stream)});
  add.malformed("8.1.1 length, too little", {answer({{"content-length", "6"}})});
  add.malformed("8.1.1 length, nothing", {ok(whole, {{"content-length", "6"}})});
  add.malformed("8.1.1 length, ended by trailers",
                {ok(end_headers, {{"content-length", "6"}}) + data(1, "hello") +
                 headers(1, block({{"x-t", "1"}}), whole)});
  add.malformed("8.1.1 length twice", {answer({{"content-length", "5"}, {"content-length", "5"}})});
  add.malformed("8.1.1 length +5", {answer({{"content-length", "+5"}})});
  add.malformed("8.1.1 length in an interim answer",
                {headers(1, response_block(103, {{"content-length", "5"}})) + answer()});
  add.good("8.1.1 length, exact", {answer({{"content-length", "5"}})});
  add.to.push_back({.id = "8.1.1 HEAD with a length",
                    .steps = {ok(whole, {{"content-length", "5"}})},
                    .expect = whole_answer(),
                    .method = "HEAD"});
  add.to.push_back({.id = "8.1.1 HEAD with a body",
                    .steps = {answer()},
                    .expect = reset(protocol_error),
                    .end = StreamEnd::protocol_error,
                    .method = "HEAD"});
  add.good("8.1.1 304 with a length",
           {headers(1, response_block(304, {{"content-length", "5"}}), whole)});
  add.malformed("8.1.1 304 with a body", {headers(1, response_block(304)) + data(1, "x")});
  add.malformed("8.1.1 204 with a body", {headers(1, response_block(204)) + data(1, "x")});
  add.good("8.1.1 204 with a length of 0",
           {headers(1, response_block(204, {{"content-length", "0"}}), whole)});
  add.malformed("8.1.1 204 with a length",
                {headers(1, response_block(204, {{"content-length", "5"}}), whole)});
  add.malformed("8.2.1 upper case", {with({{"X-Upper", "1"}})});
  add.malformed("8.2.1 empty name", {with({{"", "1"}})});
  add.malformed("8.2.1 LF", {with({{"x", "a\nb"}})});
  add.malformed("8.2.1 CR", {with({{"x", "a\rb"}})});
  add.malformed("8.2.1 NUL", {with({{"x", std::string("a\0b", 3)}})});
  for (const char* name :
       {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}) {
    add.malformed(std::string("8.2.2 ") + name, {with({{name, "x"}})});
  }
  add.malformed("8.2.2 TE", {with({{"te", "gzip"}})});
  const auto head = [](const FieldList& list) { return headers(1, block(list), whole); };
  add.malformed("8.3.2 no status", {head({{"x", "1"}})});
  add.malformed("8.3.2 no field at all", {headers(1, "", whole)});
  add.malformed("8.3.2 status twice", {head({{":status", "200"}, {":status", "200"}})});
  add.malformed("8.3.2 status behind a field", {head({{"x", "1"}, {":status", "200"}})});
  add.malformed("8.3.2 pseudo field of a request", {head({{":status", "200"}, {":path", "/"}})});
  add.malformed("8.3.2 unknown pseudo field", {head({{":status", "200"}, {":x", "/"}})});
  add.malformed("8.3.2 status in trailers", {ok() + head({{":status", "200"}})});
  for (const char* bad : {"", "20", "2000", "20x", "+20", " 20", "000", "099", "2 0"}) {
    add.malformed(std::string("8.3.2 status \"") + bad + "\"", {head({{":status", bad}})});
  }
  add.malformed("8.6 101", {head({{":status", "101"}})});
  FieldList many;
  for (int i = 0; i < 110; ++i) many.emplace_back("x" + std::to_string(i), "1");
  add.to.push_back(
      {"10.5.1 too many fields", {with(many)}, reset(enhance_your_calm), StreamEnd::too_large});
  add.to.push_back({"10.5.1 a field too large",
                    {with({{"x", std::string(8192, 'x')}})},
                    reset(enhance_your_calm),
                    StreamEnd::too_large});
  many.resize(40);
  add.to.push_back({"10.5.1 too many trailers",
                    {ok() + headers(1, block(many), whole)},
                    reset(enhance_your_calm),
                    StreamEnd::too_large});
}

}  // namespace

const std::vector<ClientCase>& client_cases() {
  static const Cases all = [] {
    Cases cases;
    const Adder add{cases};
    add_preface(add);
    add_frames(add);
    add_streams(add);
    add_windows(add);
    add_messages(add);
    add_hpack(add);
    return cases;
  }();
  return all;
}

}  // namespace outrigger::http::h2
