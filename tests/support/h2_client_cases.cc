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
  void ends(std::string id, std::vector<std::string> steps, StreamEnd end) const {
    to.push_back({std::move(id), std::move(steps), alive(), end});
  }
};

void add_preface(const Adder& add) {
  const auto own = [&add](std::string id, std::string bytes, std::uint32_t code) {
    add.to.push_back({.id = std::move(id),
                      .steps = {std::move(bytes)},
                      .expect = goes({code}),
                      .end = StreamEnd::protocol_error,
                      .own_preface = true});
  };
  own("3.4 no SETTINGS first", ping(), protocol_error);
  own("3.4 an answer first", answer(), protocol_error);
  own("3.4 acknowledgement first", settings_ack(), protocol_error);
  own("3.4 an HTTP/1 answer", "HTTP/1.1 400 Bad Request\r\n\r\n", protocol_error);
  own("3.4 the client's magic", preface(), protocol_error);
  own("3.4 GOAWAY first", goaway(0, 0), protocol_error);
}

void add_frames(const Adder& add) {
  add.good("8.1 an answer", {answer()});
  add.good("8.1 an answer in steps",
           {ok(), data(1, "he"), data(1, "llo"), data(1, "", end_stream)});
  add.good("8.1 an answer without a body", {ok(whole)});
  add.good("8.1 trailers", {ok() + data(1, "x") + headers(1, block({{"x-t", "1"}}), whole)});
  add.good("8.1 interim answers", {headers(1, response_block(100)) +
                                   headers(1, response_block(103, {{"link", "</a>"}})) + answer()});
  add.good("4.1 unknown frames", {frame(0x42, 7, 1, "x") + answer()});
  add.good("6.1 padding", {ok() + padded_data(1, "hello", 200, end_stream)});
  add.good("6.10 CONTINUATION", {headers(1, "", end_stream) + continuation(1, response_block())});
  add.good("5.3 priorities", {priority(1, 3) + answer()});
  add.good("7.? ALTSVC and ORIGIN", {frame(0xa, 0, 0, std::string("\0\1ah2=\":1\"", 10)) +
                                     frame(0xc, 0, 0, std::string("\0\1a", 3)) + answer()});
  add.dies("4.2 oversize frame", {ok() + data(1, std::string(16385, 'x'))}, {frame_size_error});
  add.dies("4.3 a broken block", {headers(1, indexed(99), whole)}, {compression_error});
  add.dies("4.3 PING inside a block", {headers(1, response_block(), end_stream) + ping()},
           {protocol_error});
  add.dies("6.1 DATA on stream 0", {data(0, "x")}, {protocol_error});
  add.dies("6.1 DATA before HEADERS", {data(1, "hello", end_stream)}, {protocol_error});
  add.dies("6.1 padding beyond the payload", {ok() + frame(type_data, padded, 1, "\x09x")},
           {protocol_error});
  add.dies("6.2 HEADERS on stream 0", {headers(0, response_block(), whole)}, {protocol_error});
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
  add.dies("6.10 CONTINUATION out of nowhere", {continuation(1, response_block())},
           {protocol_error});
}

void add_streams(const Adder& add) {
  add.dies("5.1 idle: HEADERS", {headers(3, response_block(), whole)}, {protocol_error});
  add.dies("5.1 idle: DATA", {data(3, "x")}, {protocol_error});
  add.dies("5.1 idle: RST_STREAM", {rst_stream(3, cancel)}, {protocol_error});
  add.dies("5.1 idle: WINDOW_UPDATE", {window_update(3, 1)}, {protocol_error});
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
    add_messages(add);
    return cases;
  }();
  return all;
}

}  // namespace outrigger::http::h2
