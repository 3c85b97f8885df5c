#include "support/h2_cases.h"
#include "support/h2_frames.h"

namespace outrigger::http::h2 {
namespace {

using What = Expect::What;

Expect alive() {
  return {};
}
Expect answer(std::uint32_t stream = 1, int status = 200) {
  return {.what = What::answer, .stream = stream, .status = status};
}
Expect answer_in_frames(std::vector<std::size_t> sizes) {
  return {.what = What::answer, .data_sizes = std::move(sizes)};
}
Expect sends(std::string bytes) {
  return {.contains = std::move(bytes)};
}
Expect reset(std::uint32_t code, std::uint32_t stream = 1) {
  return {.what = What::reset, .stream = stream, .codes = {code}};
}
Expect goes(std::vector<std::uint32_t> codes) {
  return {.what = What::goaway, .codes = std::move(codes)};
}
Expect malformed() {
  return reset(protocol_error);
}

std::string get(std::uint32_t stream = 1) {
  return headers(stream, request_block(), whole);
}
std::string head_only(std::uint32_t stream = 1, std::string_view method = "POST",
                      const FieldList& more = {}) {
  return headers(stream, request_block(method, more));
}
// A request without body of just these fields.
std::string fields(const FieldList& list) {
  return headers(1, block(list), whole);
}
std::string with(const FieldList& more) {
  return headers(1, request_block("GET", more), whole);
}
std::string raw_block(std::string bytes) {
  return headers(1, request_block() + bytes, whole);
}
std::string junk(std::size_t size) {
  return std::string(size, 'x');
}
FieldList many(std::size_t count, const std::string& name = "x") {
  FieldList list;
  for (std::size_t i = 0; i < count; ++i) {
    list.emplace_back(name == "x" ? "x" + std::to_string(i) : name, "v" + std::to_string(i));
  }
  return list;
}
std::string split_in_two(std::uint32_t stream) {
  const std::string whole_block = request_block();
  return headers(stream, whole_block.substr(0, 5), end_stream) +
         continuation(stream, whole_block.substr(5));
}

using Cases = std::vector<ServerCase>;

void add_preface(Cases& to) {
  const auto own = [&to](std::string id, std::vector<std::string> steps, Expect expect) {
    to.push_back({std::move(id), std::move(steps), std::move(expect), true});
  };
  own("3.4 preface", {preface()}, alive());
  own("3.4 preface and request at once", {preface() + get()}, answer());
  own("3.4 wrong first byte", {"X"}, goes({protocol_error}));
  own("3.4 wrong last byte", {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"}, goes({protocol_error}));
  own("3.4 an HTTP/1 request", {"GET / HTTP/1.1\r\nHost: a\r\n\r\n"}, goes({protocol_error}));
  own("3.4 PING before SETTINGS", {std::string(magic) + ping()}, goes({protocol_error}));
  own("3.4 HEADERS before SETTINGS", {std::string(magic) + get()}, goes({protocol_error}));
  own("3.4 PRIORITY before SETTINGS", {std::string(magic) + priority(1, 0)},
      goes({protocol_error}));
  own("3.4 unknown frame before SETTINGS", {std::string(magic) + frame(0x42, 0, 0, "x")},
      goes({protocol_error}));
  own("3.4 acknowledgement before SETTINGS", {std::string(magic) + settings_ack()},
      goes({protocol_error}));
  own("3.4 oversize SETTINGS", {std::string(magic) + frame(type_settings, 0, 0, junk(16386))},
      goes({frame_size_error}));
}

void add_frames(Cases& to) {
  to.push_back({"4.1 unknown type", {frame(0x16, 0, 0, "12345678")}, alive()});
  to.push_back({"4.1 unknown type on a stream", {frame(0x16, 0xff, 1, "12345678")}, alive()});
  to.push_back({"4.1 undefined flags",
                {frame(type_ping, 0x16, 0, "12345678")},
                sends(ping("12345678", ack))});
  to.push_back(
      {"4.1 undefined flags on HEADERS", {headers(1, request_block(), whole | 0xd2)}, answer()});
  to.push_back({"4.1 reserved bit",
                {frame(type_ping, 0, 0x80000000, "12345678")},
                sends(ping("12345678", ack))});
  to.push_back(
      {"4.1 reserved bit on HEADERS", {headers(0x80000001, request_block(), whole)}, answer()});
  to.push_back(
      {"4.2 DATA of the largest size", {head_only() + data(1, junk(16384), end_stream)}, answer()});
  to.push_back({"4.2 oversize DATA",
                {head_only() + data(1, junk(16385), end_stream)},
                {.what = What::reset_or_goaway, .codes = {frame_size_error}}});
  to.push_back(
      {"4.2 oversize HEADERS",
       {headers(1,
                request_block() + block({{"x", junk(8000)}, {"y", junk(8000)}, {"z", junk(1000)}}),
                whole)},
       goes({frame_size_error})});
  to.push_back(
      {"4.2 oversize PING", {frame(type_ping, 0, 0, junk(16385))}, goes({frame_size_error})});
  to.push_back(
      {"4.2 oversize unknown frame", {frame(0x77, 0, 0, junk(16385))}, goes({frame_size_error})});
  to.push_back({"4.3 invalid block",
                {headers(1, std::string("\x00\x00\x00\x00\x00", 5), whole)},
                {.what = What::reset_or_goaway, .codes = {compression_error, protocol_error}}});
  to.push_back({"4.3 broken literal", {headers(1, "\x40\x01", whole)}, goes({compression_error})});
  to.push_back({"4.3 PRIORITY inside a block",
                {headers(1, request_block(), end_stream) + priority(1, 0) + continuation(1, "")},
                goes({protocol_error})});
  to.push_back({"4.3 HEADERS of another stream inside a block",
                {headers(1, request_block(), end_stream) + get(3)},
                goes({protocol_error})});
  to.push_back(
      {"4.3 the table survives a malformed request",
       {headers(1, request_block() + literal_added("x-kept", "1") + literal("Bad", "1"), whole) +
        headers(3, request_block() + indexed(62), whole)},
       answer(3)});
  to.push_back(
      {"4.3 the table survives a request that is too large",
       {headers(1, request_block() + block(many(110)) + literal_added("x-kept", "1"), whole) +
        headers(3, request_block() + indexed(62), whole)},
       answer(3)});
}

void add_states(Cases& to) {
  // Idle.
  to.push_back({"5.1 idle: DATA", {data(1, "test", end_stream)}, goes({protocol_error})});
  to.push_back({"5.1 idle: RST_STREAM", {rst_stream(1, cancel)}, goes({protocol_error})});
  to.push_back({"5.1 idle: WINDOW_UPDATE", {window_update(1, 100)}, goes({protocol_error})});
  to.push_back(
      {"5.1 idle: CONTINUATION", {continuation(1, request_block())}, goes({protocol_error})});
  to.push_back({"5.1 idle: PRIORITY", {priority(1, 0, 255), get()}, answer()});
  // Half-closed (remote).
  to.push_back({"5.1 half-closed: WINDOW_UPDATE", {get() + window_update(1, 100)}, answer()});
  to.push_back({"5.1 half-closed: PRIORITY", {get() + priority(1, 0)}, answer()});
  to.push_back({"5.1 half-closed: RST_STREAM", {get() + rst_stream(1, cancel)}, alive()});
  to.push_back(
      {"5.1 half-closed: DATA", {get() + data(1, "test", end_stream)}, goes({stream_closed})});
  to.push_back({"5.1 half-closed: HEADERS", {get() + get()}, goes({stream_closed})});
  to.push_back({"5.1 half-closed: CONTINUATION",
                {get() + continuation(1, "\x82")},
                goes({stream_closed, protocol_error})});
  // Closed by the client's reset: netty may send what it had queued after that. It costs this
  // stream only.
  to.push_back({"5.1 reset: DATA",
                {head_only() + rst_stream(1, cancel) + data(1, "x", end_stream)},
                reset(stream_closed)});
  to.push_back({"5.1 reset: DATA, others go on",
                {head_only() + rst_stream(1, cancel) + data(1, "x", end_stream) + get(3)},
                answer(3)});
  to.push_back(
      {"5.1 reset: HEADERS", {head_only() + rst_stream(1, cancel) + get()}, reset(stream_closed)});
  to.push_back({"5.1 reset: CONTINUATION",
                {head_only() + rst_stream(1, cancel) + continuation(1, "\x82")},
                goes({stream_closed, protocol_error})});
  to.push_back({"5.1 reset: RST_STREAM again",
                {head_only() + rst_stream(1, cancel) + rst_stream(1, cancel)},
                alive()});
  to.push_back({"5.1 reset: WINDOW_UPDATE",
                {head_only() + rst_stream(1, cancel) + window_update(1, 1)},
                alive()});
  to.push_back(
      {"5.1 reset: PRIORITY", {head_only() + rst_stream(1, cancel) + priority(1, 0)}, alive()});
  // Closed by both ends.
  to.push_back({"5.1 closed: DATA", {get(), data(1, "x", end_stream)}, goes({stream_closed})});
  to.push_back({"5.1 closed: HEADERS", {get(), get()}, goes({stream_closed})});
  to.push_back({"5.1 closed: CONTINUATION",
                {get(), continuation(1, "\x82")},
                goes({stream_closed, protocol_error})});
  to.push_back({"5.1 closed: WINDOW_UPDATE", {get(), window_update(1, 1)}, answer()});
  to.push_back({"5.1 closed: RST_STREAM", {get(), rst_stream(1, cancel)}, answer()});
  to.push_back({"5.1 closed: PRIORITY", {get(), priority(1, 0)}, answer()});
  to.push_back({"5.1 reset by the server: DATA is on its way",
                {head_only(1, "POST", {{"Bad", "1"}}) + data(1, "x") + data(1, "y", end_stream)},
                malformed()});
  to.push_back(
      {"5.1 reset by the server: trailers are on their way",
       {head_only(1, "POST", {{"Bad", "1"}}), headers(1, block({{"x-t", "1"}}), whole), get(3)},
       answer(3)});
  // Identifiers.
  to.push_back({"5.1.1 even", {get(2)}, goes({protocol_error})});
  to.push_back({"5.1.1 backwards", {get(5) + get(3)}, goes({protocol_error})});
  to.push_back({"5.1.1 backwards, later", {get(5), get(7), get(1)}, goes({protocol_error})});
  to.push_back({"5.1.1 DATA on a skipped one",
                {get(5), data(3, "x", end_stream)},
                goes({protocol_error, stream_closed})});
  to.push_back({"5.1.1 skipping is allowed", {get(7), get(101)}, answer(101)});
  to.push_back({"5.1.1 the last one", {get(0x7fffffff)}, answer(0x7fffffff)});
  to.push_back({"5.1.1 PRIORITY opens no stream", {priority(9, 0) + get()}, answer()});
  to.push_back({"5.1.1 none", {get(0)}, goes({protocol_error})});
  std::string crowd;
  for (std::uint32_t i = 0; i < 101; ++i) crowd += head_only(1 + 2 * i);
  to.push_back(
      {"5.1.2 more streams than agreed",
       {crowd},
       {.what = What::reset_or_goaway, .stream = 201, .codes = {refused_stream, no_error}}});
  // Dependencies (RFC 7540 section 5.3.1).
  to.push_back({"5.3.1 HEADERS that depend on themselves",
                {headers(1, big_endian(1, 4) + "\x0f" + request_block(), whole | priority_flag)},
                {.what = What::reset_or_goaway, .codes = {protocol_error}}});
  to.push_back({"5.3.1 PRIORITY that depends on itself",
                {priority(1, 1)},
                {.what = What::reset_or_goaway, .codes = {protocol_error}}});
  to.push_back({"5.3.1 exclusively on itself",
                {priority(1, 0x80000001)},
                {.what = What::reset_or_goaway, .codes = {protocol_error}}});
  to.push_back({"5.3 HEADERS with priority",
                {headers(1, big_endian(0, 4) + "\xff" + request_block(), whole | priority_flag)},
                answer()});
  to.push_back({"5.3 weight 1", {priority(1, 0, 0) + get()}, answer()});
  to.push_back({"5.3 weight 256", {priority(1, 0, 255) + get()}, answer()});
  to.push_back({"5.3 a dependency", {priority(3, 1) + get()}, answer()});
  to.push_back({"5.3 an exclusive dependency", {priority(1, 0x80000003) + get()}, answer()});
  to.push_back({"5.3 priorities of all kinds",
                {priority(1, 0, 0) + priority(3, 1, 255) + priority(5, 0x80000001, 7) + get()},
                answer()});
  to.push_back({"5.4.1 nothing follows GOAWAY",
                {frame(type_ping, 0, 0, "1234567"), get()},
                goes({frame_size_error})});
  to.push_back({"5.4.1 a second error behind the first, in one write",
                {frame(type_ping, 0, 0, "1234567") + frame(type_settings, 0, 0, "12345") +
                 window_update(0, 0)},
                goes({frame_size_error})});
  to.push_back({"5.4.1 a bad frame length behind a bad block",
                {headers(1, indexed(99), whole) + frame(type_rst_stream, 0, 1, "123")},
                goes({compression_error})});
  to.push_back({"5.5 unknown extension frame", {frame(0xfa, 0, 0, "extension"), get()}, answer()});
  to.push_back(
      {"5.5 unknown frame inside a block",
       {headers(1, request_block(), end_stream) + frame(0xfa, 0, 1, "x") + continuation(1, "")},
       goes({protocol_error})});
  to.push_back({"5.5 unknown frame of stream 0 inside a block",
                {headers(1, request_block(), end_stream) + frame(0xfa, 0, 0, "x")},
                goes({protocol_error})});
}

void add_definitions(Cases& to) {
  // DATA.
  to.push_back({"6.1 DATA", {head_only() + data(1, "test", end_stream)}, answer()});
  to.push_back(
      {"6.1 several DATA", {head_only() + data(1, "te") + data(1, "st", end_stream)}, answer()});
  to.push_back({"6.1 padding", {head_only() + padded_data(1, "test", 6, end_stream)}, answer()});
  to.push_back(
      {"6.1 nothing but padding", {head_only() + padded_data(1, "", 6, end_stream)}, answer()});
  to.push_back(
      {"6.1 padding of no bytes", {head_only() + padded_data(1, "x", 0, end_stream)}, answer()});
  to.push_back({"6.1 empty", {head_only() + data(1, "", end_stream)}, answer()});
  to.push_back({"6.1 stream 0", {data(0, "test", end_stream)}, goes({protocol_error})});
  to.push_back({"6.1 padding as long as the payload",
                {head_only() + frame(type_data, end_stream | padded, 1,
                                     "\x05"
                                     "test")},
                goes({protocol_error})});
  to.push_back({"6.1 padding that exceeds the payload",
                {head_only() + frame(type_data, end_stream | padded, 1, "\xff")},
                goes({protocol_error})});
  to.push_back({"6.1 padding without a length",
                {head_only() + frame(type_data, end_stream | padded, 1, "")},
                goes({protocol_error, frame_size_error})});
  // HEADERS.
  to.push_back({"6.2 HEADERS", {get()}, answer()});
  to.push_back({"6.2 padding",
                {headers(1, "\x03" + request_block() + std::string(3, '\0'), whole | padded)},
                answer()});
  to.push_back(
      {"6.2 padding and priority",
       {headers(1, "\x03" + big_endian(0, 4) + "\x0f" + request_block() + std::string(3, '\0'),
                whole | padded | priority_flag)},
       answer()});
  to.push_back({"6.2 stream 0", {get(0)}, goes({protocol_error})});
  to.push_back({"6.2 padding that exceeds the payload",
                {headers(1, "\xff" + request_block(), whole | padded)},
                goes({protocol_error})});
  to.push_back({"6.2 half a priority",
                {headers(1, "123", whole | priority_flag)},
                goes({frame_size_error})});
  // PRIORITY.
  to.push_back({"6.3 stream 0", {priority(0, 1)}, goes({protocol_error})});
  to.push_back({"6.3 length",
                {frame(type_priority, 0, 1, "1234")},
                {.what = What::reset_or_goaway, .codes = {frame_size_error}}});
  to.push_back({"6.3 in the middle of a body",
                {head_only() + priority(1, 0) + data(1, "x", end_stream)},
                answer()});
  // RST_STREAM.
  to.push_back({"6.4 RST_STREAM", {head_only() + rst_stream(1, cancel)}, alive()});
  to.push_back({"6.4 stream 0", {rst_stream(0, cancel)}, goes({protocol_error})});
  to.push_back({"6.4 idle", {get() + rst_stream(3, cancel)}, goes({protocol_error})});
  to.push_back({"6.4 length",
                {head_only() + frame(type_rst_stream, 0, 1, "123")},
                goes({frame_size_error})});
  // SETTINGS.
  to.push_back({"6.5 SETTINGS",
                {settings({{header_table_size, 4096}, {max_frame_size, 16384}})},
                sends(settings_ack())});
  to.push_back({"6.5 acknowledgement with a payload",
                {frame(type_settings, ack, 0, "123456")},
                goes({frame_size_error})});
  to.push_back({"6.5 stream", {frame(type_settings, 0, 1, "")}, goes({protocol_error})});
  to.push_back({"6.5 length", {frame(type_settings, 0, 0, "12345")}, goes({frame_size_error})});
  to.push_back({"6.5 an acknowledgement too many", {settings_ack()}, goes({protocol_error})});
  to.push_back({"6.5.2 ENABLE_PUSH", {settings({{enable_push, 2}})}, goes({protocol_error})});
  to.push_back({"6.5.2 INITIAL_WINDOW_SIZE",
                {settings({{initial_window_size, 0x80000000}})},
                goes({flow_control_error})});
  to.push_back({"6.5.2 MAX_FRAME_SIZE too small",
                {settings({{max_frame_size, 16383}})},
                goes({protocol_error})});
  to.push_back({"6.5.2 MAX_FRAME_SIZE too large",
                {settings({{max_frame_size, 16777216}})},
                goes({protocol_error})});
  to.push_back({"6.5.2 unknown setting", {settings({{0xff, 1}})}, sends(settings_ack())});
  to.push_back({"6.5.2 ENABLE_CONNECT_PROTOCOL",
                {settings({{enable_connect_protocol, 2}})},
                goes({protocol_error})});
  to.push_back({"6.5.2 a table of no size", {settings({{header_table_size, 0}}), get()}, answer()});
  to.push_back(
      {"6.5.2 a huge table", {settings({{header_table_size, 0xffffffff}}), get()}, answer()});
  to.push_back({"6.5.3 the last value counts",
                {settings({{initial_window_size, 100}, {initial_window_size, 1}}) + get(),
                 window_update(1, 20)},
                answer_in_frames({1, 10})});
  to.push_back({"6.5.3 acknowledged", {settings()}, sends(settings_ack())});
  to.push_back(
      {"8.4 PUSH_PROMISE", {get() + push_promise(1, 2, request_block())}, goes({protocol_error})});
  // PING and GOAWAY.
  to.push_back({"6.7 PING", {ping("abcdefgh")}, sends(ping("abcdefgh", ack))});
  to.push_back({"6.7 an acknowledgement is not answered",
                {ping("abcdefgh", ack)},
                {.lacks = ping("abcdefgh", ack)}});
  to.push_back({"6.7 stream", {frame(type_ping, 0, 1, "12345678")}, goes({protocol_error})});
  to.push_back({"6.7 length", {frame(type_ping, 0, 0, "123456")}, goes({frame_size_error})});
  to.push_back({"6.8 GOAWAY", {goaway(0, no_error)}, {.what = What::quiet}});
  to.push_back(
      {"6.8 stream", {frame(type_goaway, 0, 1, std::string(8, '\0'))}, goes({protocol_error})});
  to.push_back(
      {"6.8 length", {frame(type_goaway, 0, 0, std::string(7, '\0'))}, goes({frame_size_error})});
  // WINDOW_UPDATE.
  to.push_back({"6.9 WINDOW_UPDATE of the connection", {window_update(0, 100) + get()}, answer()});
  to.push_back({"6.9 WINDOW_UPDATE of a stream",
                {head_only() + window_update(1, 100) + data(1, "x", end_stream)},
                answer()});
  to.push_back({"6.9 nothing, connection", {window_update(0, 0)}, goes({protocol_error})});
  to.push_back({"6.9 nothing, stream",
                {head_only() + window_update(1, 0)},
                {.what = What::reset_or_goaway, .codes = {protocol_error}}});
  to.push_back({"6.9 length", {frame(type_window_update, 0, 0, "123")}, goes({frame_size_error})});
  to.push_back(
      {"6.9.1 a window of one byte",
       {settings({{initial_window_size, 1}}) + get(), window_update(1, 1), window_update(1, 9)},
       answer_in_frames({1, 1, 9})});
  to.push_back({"6.9.1 connection beyond the maximum",
                {window_update(0, 0x7fffffff)},
                goes({flow_control_error})});
  to.push_back({"6.9.1 connection beyond the maximum, twice",
                {window_update(0, 0x7fffffff) + window_update(0, 0x7fffffff)},
                goes({flow_control_error})});
  to.push_back({"6.9.1 stream beyond the maximum, twice",
                {head_only() + window_update(1, 0x7fffffff) + window_update(1, 0x7fffffff)},
                reset(flow_control_error)});
  to.push_back({"6.9.1 stream beyond the maximum",
                {head_only() + window_update(1, 0x7fffffff)},
                reset(flow_control_error)});
  to.push_back({"6.9.2 a window that changes while open",
                {settings({{initial_window_size, 0}}) + get(), settings({{initial_window_size, 1}}),
                 window_update(1, 10)},
                answer_in_frames({1, 10})});
  to.push_back({"6.9.2 a window below zero",
                {settings({{initial_window_size, 3}}) + get(), settings({{initial_window_size, 2}}),
                 window_update(1, 2), window_update(1, 7)},
                answer_in_frames({3, 1, 7})});
  to.push_back({"6.9.2 a change that makes a window too large",
                {settings({{initial_window_size, 0}}) + head_only() + window_update(1, 0x7fffffff) +
                 settings({{initial_window_size, 100}})},
                goes({flow_control_error})});
  // CONTINUATION.
  to.push_back({"6.10 CONTINUATION", {split_in_two(1)}, answer()});
  const std::string cut = request_block();
  to.push_back(
      {"6.10 several",
       {headers(1, cut.substr(0, 3), end_stream) + continuation(1, cut.substr(3, 1), none) +
        continuation(1, cut.substr(4, 9), none) + continuation(1, cut.substr(13))},
       answer()});
  to.push_back({"6.10 followed by another frame",
                {headers(1, cut.substr(0, 3), end_stream) +
                 continuation(1, cut.substr(3, 5), none) + data(1, "x", end_stream)},
                goes({protocol_error})});
  to.push_back({"6.10 stream 0",
                {headers(1, cut.substr(0, 3), end_stream) + continuation(0, cut.substr(3))},
                goes({protocol_error})});
  to.push_back({"6.10 another stream",
                {headers(1, cut.substr(0, 3), end_stream) + continuation(3, cut.substr(3))},
                goes({protocol_error})});
  to.push_back(
      {"6.10 behind END_HEADERS", {get() + continuation(1, "\x82")}, goes({protocol_error})});
  to.push_back({"6.10 behind its own end",
                {split_in_two(1) + continuation(1, "\x82")},
                goes({protocol_error})});
  to.push_back({"6.10 behind DATA",
                {head_only() + data(1, "x") + continuation(1, "\x82")},
                goes({protocol_error})});
  // Error codes.
  to.push_back({"7 GOAWAY with an unknown code", {goaway(0, 0xff)}, {.what = What::quiet}});
  to.push_back({"7 RST_STREAM with an unknown code", {head_only() + rst_stream(1, 0xff)}, alive()});
}

void add_messages(Cases& to) {
  to.push_back({"8.1 GET", {get()}, answer()});
  to.push_back({"8.1 POST", {head_only() + data(1, "test", end_stream)}, answer()});
  to.push_back({"8.1 HEAD", {headers(1, request_block("HEAD"), whole)}, answer()});
  to.push_back({"8.1 trailers",
                {head_only() + data(1, "x") + headers(1, block({{"x-t", "1"}}), whole)},
                answer()});
  to.push_back(
      {"8.1 trailers at once", {head_only() + headers(1, block({{"x-t", "1"}}), whole)}, answer()});
  to.push_back({"8.1 a second head", {head_only() + headers(1, request_block())}, malformed()});
  to.push_back({"8.1 trailers that do not end",
                {head_only() + data(1, "x") + headers(1, block({{"x-t", "1"}}))},
                malformed()});
  to.push_back({"8.1 DATA behind trailers",
                {head_only() + headers(1, block({{"x-t", "1"}}), whole) + data(1, "x")},
                goes({stream_closed})});
  const FieldList ten = {{"content-length", "10"}};
  to.push_back({"8.1.1 length, one DATA",
                {head_only(1, "POST", {{"content-length", "1"}}) + data(1, "test", end_stream)},
                malformed()});
  to.push_back({"8.1.1 length, several DATA",
                {head_only(1, "POST", {{"content-length", "1"}}) + data(1, "te") +
                 data(1, "st", end_stream)},
                malformed()});
  to.push_back({"8.1.1 length, too little",
                {head_only(1, "POST", ten) + data(1, "test", end_stream)},
                malformed()});
  to.push_back(
      {"8.1.1 length, nothing", {headers(1, request_block("POST", ten), whole)}, malformed()});
  to.push_back(
      {"8.1.1 length, ended by trailers",
       {head_only(1, "POST", ten) + data(1, "test") + headers(1, block({{"x-t", "1"}}), whole)},
       malformed()});
  to.push_back({"8.1.1 length, ended by trailers at once",
                {head_only(1, "POST", ten) + headers(1, block({{"x-t", "1"}}), whole)},
                malformed()});
  to.push_back({"8.1.1 length, ended by empty DATA",
                {head_only(1, "POST", ten) + data(1, "", end_stream)},
                malformed()});
  to.push_back({"8.1.1 length, exact",
                {head_only(1, "POST", {{"content-length", "4"}}) + data(1, "te") +
                 data(1, "st", end_stream)},
                answer()});
  to.push_back(
      {"8.1.1 length, exact with padding",
       {head_only(1, "POST", {{"content-length", "4"}}) + padded_data(1, "test", 9, end_stream)},
       answer()});
  for (const char* bad : {"", "+4", "-4", "0x4", "4,4", "4, 4", "4 4", "1e1", "9999999999999999999",
                          "18446744073709551620", "\xd9\xa4"}) {
    to.push_back({std::string("8.1.1 length \"") + bad + "\"",
                  {head_only(1, "POST", {{"content-length", bad}}) + data(1, "test", end_stream)},
                  malformed()});
  }
  to.push_back({"8.1.1 length twice",
                {head_only(1, "POST", {{"content-length", "4"}, {"content-length", "4"}}) +
                 data(1, "test", end_stream)},
                malformed()});
}

void add_fields(Cases& to) {
  to.push_back({"8.2.1 upper case", {with({{"X-Upper", "1"}})}, malformed()});
  to.push_back({"8.2.1 empty name", {with({{"", "1"}})}, malformed()});
  to.push_back({"8.2.1 blank in a name", {with({{"x y", "1"}})}, malformed()});
  to.push_back({"8.2.1 colon in a name", {with({{"x:y", "1"}})}, malformed()});
  to.push_back({"8.2.1 colon behind a name", {with({{"x:", "1"}})}, malformed()});
  to.push_back({"8.2.1 line break in a name", {with({{"x\r\ny", "1"}})}, malformed()});
  to.push_back({"8.2.1 CR", {with({{"x", "a\rb"}})}, malformed()});
  to.push_back({"8.2.1 LF", {with({{"x", "a\nb"}})}, malformed()});
  to.push_back({"8.2.1 NUL", {with({{"x", std::string("a\0b", 3)}})}, malformed()});
  to.push_back({"8.2.1 leading blank", {with({{"x", " a"}})}, malformed()});
  to.push_back({"8.2.1 trailing tab", {with({{"x", "a\t"}})}, malformed()});
  to.push_back({"8.2.1 empty value", {with({{"x", ""}})}, answer()});
  to.push_back({"8.2.1 raw UTF-8", {with({{"x", "\xc3\xa9"}})}, answer()});
  for (const char* name :
       {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}) {
    to.push_back({std::string("8.2.2 ") + name, {with({{name, "close"}})}, malformed()});
    to.push_back({std::string("8.2.2 in trailers: ") + name,
                  {head_only() + headers(1, block({{name, "close"}}), whole)},
                  malformed()});
  }
  to.push_back({"8.2.2 transfer-encoding chunked",
                {head_only(1, "POST", {{"transfer-encoding", "chunked"}}) +
                 data(1, "0\r\n\r\n", end_stream)},
                malformed()});
  to.push_back({"8.2.2 TE trailers", {with({{"te", "trailers"}})}, answer()});
  to.push_back(
      {"8.2.2 TE anything else", {with({{"te", "trailers, deflate;q=0.5"}})}, malformed()});
  to.push_back({"8.2.2 TE twice", {with({{"te", "trailers"}, {"te", "trailers"}})}, malformed()});
  to.push_back({"8.2.3 cookie crumbs", {with({{"cookie", "a=b"}, {"cookie", "c=d"}})}, answer()});
  // Pseudo fields.
  to.push_back(
      {"8.3 unknown", {headers(1, block({{":test", "1"}}) + request_block(), whole)}, malformed()});
  to.push_back({"8.3 of a response",
                {fields({{":status", "200"},
                         {":method", "GET"},
                         {":scheme", "http"},
                         {":path", "/"},
                         {":authority", "a"}})},
                malformed()});
  to.push_back({"8.3 in trailers",
                {head_only() + headers(1, block({{":method", "GET"}}), whole)},
                malformed()});
  to.push_back({"8.3 behind a regular field",
                {fields({{":method", "GET"},
                         {"x", "1"},
                         {":scheme", "http"},
                         {":path", "/"},
                         {":authority", "a"}})},
                malformed()});
  to.push_back(
      {"8.3 upper case",
       {fields({{":Method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}})},
       malformed()});
  const FieldList all = request_fields();
  for (std::size_t i = 0; i < all.size(); ++i) {
    FieldList doubled = all;
    doubled.insert(doubled.begin(), all[i]);
    to.push_back({"8.3.1 twice: " + all[i].first, {fields(doubled)}, malformed()});
    FieldList missing = all;
    missing.erase(missing.begin() + static_cast<std::ptrdiff_t>(i));
    to.push_back({"8.3.1 missing: " + all[i].first, {fields(missing)}, malformed()});
    FieldList empty = all;
    empty[i].second.clear();
    to.push_back({"8.3.1 empty: " + all[i].first, {fields(empty)}, malformed()});
  }
  const auto request = [&to](std::string id, FieldList list, Expect expect) {
    to.push_back({"8.3.1 " + id, {fields(list)}, std::move(expect)});
  };
  const auto replaced = [&all](std::size_t at, std::string value) {
    FieldList list = all;
    list[at].second = std::move(value);
    return list;
  };
  for (const char* bad :
       {"G ET", "GET ", "GET / HTTP/1.1\r\nx: y", "G\xc3\xa9T", "GET\t", "(GET)"}) {
    request(std::string("method ") + bad, replaced(0, bad), malformed());
  }
  request("extension method", replaced(0, "PURGE"), answer());
  for (const char* bad : {"ftp", "http://a/", "javascript", "h ttp", "http:"}) {
    request(std::string("scheme ") + bad, replaced(1, bad), malformed());
  }
  request("scheme https", replaced(1, "https"), answer());
  for (const char* bad :
       {"x", "http://a/", "*", "/a b", "/a#b", "/\r\n", "/\x7f", "/\x01", "?q", "a/b"}) {
    request(std::string("path ") + bad, replaced(2, bad), malformed());
  }
  request("path in raw UTF-8", replaced(2, "/\xc3\xa9"), answer());
  request("path with a query", replaced(2, "/a/b?c=%20&d=e;f"), answer());
  for (const char* bad : {"user@example.test", "a,b", "a b", "a/b", "a:123456", "a:x", "[::1", "a#",
                          "a?b", "\xc3\xa9", "a\r\nb", ":80", "a:80:80"}) {
    request(std::string("authority ") + bad, replaced(3, bad), malformed());
  }
  request("authority with a port", replaced(3, "example.test:8080"), answer());
  request("authority of IPv6", replaced(3, "[2001:db8::1]:80"), answer());
  request("asterisk",
          {{":method", "OPTIONS"}, {":scheme", "http"}, {":path", "*"}, {":authority", "a"}},
          answer());
  to.push_back(
      {"8.3.1 Host alone",
       {fields(
           {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"host", "example.test"}})},
       answer()});
  to.push_back({"8.3.1 the same Host", {with({{"host", "example.test"}})}, answer()});
  to.push_back({"8.3.1 another Host", {with({{"host", "evil.test"}})}, malformed()});
  to.push_back({"8.3.1 another port", {with({{"host", "example.test:81"}})}, malformed()});
  to.push_back({"8.3.1 Host twice",
                {with({{"host", "example.test"}, {"host", "example.test"}})},
                malformed()});
  to.push_back({"8.3.1 empty Host", {with({{"host", ""}})}, malformed()});
  // CONNECT.
  to.push_back({"8.5 CONNECT",
                {headers(1, block({{":method", "CONNECT"}, {":authority", "a:1"}}))},
                answer()});
  to.push_back(
      {"8.5 CONNECT with a path",
       {headers(1, block({{":method", "CONNECT"}, {":authority", "a:1"}, {":path", "/"}}))},
       malformed()});
  to.push_back(
      {"8.5 CONNECT with a scheme",
       {headers(1, block({{":method", "CONNECT"}, {":authority", "a:1"}, {":scheme", "http"}}))},
       malformed()});
  to.push_back(
      {"8.5 CONNECT to nowhere", {headers(1, block({{":method", "CONNECT"}}))}, malformed()});
  to.push_back({"8.5 CONNECT with trailers",
                {headers(1, block({{":method", "CONNECT"}, {":authority", "a:1"}})) +
                 headers(1, block({{"x", "1"}}), whole)},
                malformed()});
  const FieldList websocket = {{":method", "CONNECT"},
                               {":protocol", "websocket"},
                               {":scheme", "https"},
                               {":path", "/chat"},
                               {":authority", "a"}};
  to.push_back({"RFC 8441 extended CONNECT", {headers(1, block(websocket))}, answer()});
  for (std::size_t i = 2; i < websocket.size(); ++i) {
    FieldList missing = websocket;
    missing.erase(missing.begin() + static_cast<std::ptrdiff_t>(i));
    to.push_back(
        {"RFC 8441 missing " + websocket[i].first, {headers(1, block(missing))}, malformed()});
  }
  to.push_back({"RFC 8441 :protocol with GET",
                {headers(1, block({{":protocol", "websocket"}}) + request_block(), whole)},
                malformed()});
  to.push_back({"RFC 8441 :protocol twice",
                {headers(1, block({{":protocol", "websocket"}}) + block(websocket))},
                malformed()});
  to.push_back({"RFC 8441 with a length",
                {headers(1, block(websocket) + block({{"content-length", "1"}}))},
                malformed()});
  // Limits.
  to.push_back({"10.5.1 a hundred fields", {with(many(100))}, answer()});
  to.push_back({"10.5.1 more fields", {with(many(101))}, answer(1, 431)});
  to.push_back({"10.5.1 256 crumbs", {with(many(256, "cookie"))}, answer()});
  to.push_back({"10.5.1 more crumbs", {with(many(257, "cookie"))}, answer(1, 431)});
  to.push_back({"10.5.1 a field of 8 KiB", {with({{"x", junk(8191)}})}, answer()});
  to.push_back({"10.5.1 a larger field", {with({{"x", junk(8192)}})}, answer(1, 431)});
  to.push_back({"10.5.1 a name of 256 bytes", {with({{junk(256), "1"}})}, answer()});
  to.push_back({"10.5.1 a longer name", {with({{junk(257), "1"}})}, answer(1, 431)});
  to.push_back({"10.5.1 431 with a body on its way",
                {head_only(1, "POST", {{"x", junk(8192)}}) + data(1, "x", end_stream)},
                answer(1, 431)});
  std::string large = headers(1, request_block() + literal_added("big", junk(3000)), end_stream);
  for (int i = 0; i < 2; ++i) large += continuation(1, std::string(11, '\xbe'), none);
  to.push_back(
      {"10.5.1 a head of more than 60 KiB", {large + continuation(1, "\xbe")}, answer(1, 431)});
  to.push_back({"RFC 9110 10.1.1 Expect",
                {head_only(1, "POST", {{"expect", "100-continue"}}) + data(1, "x", end_stream)},
                answer()});
  to.push_back(
      {"RFC 9110 10.1.1 another expectation", {with({{"expect", "200-maybe"}})}, answer(1, 417)});
}

void add_hpack(Cases& to) {
  const auto good = [&to](std::string id, std::string bytes) {
    to.push_back({"RFC 7541 " + std::move(id), {headers(1, std::move(bytes), whole)}, answer()});
  };
  const std::string by_index = indexed(2) + indexed(6) + indexed(4);  // GET, http, /
  good("6.1 indexed fields", by_index + literal_with_name(1, "a"));
  good("6.2.1 literals that are added", by_index + literal_added(":authority", "a"));
  good("6.2.2 literals that are not", by_index + literal(":authority", "a"));
  good("6.2.3 literals that never are",
       by_index + std::string("\x10", 1) + text(":authority") + text("a"));
  good("5.2 Huffman", by_index + std::string("\x01\x88\x2f\x91\xd3\x5d\x05\x5c\x87\xa7"));
  good("6.2.1 entries of its own", by_index + literal_added(":authority", "a") +
                                       literal_added("x-a", "1") + indexed(62) +
                                       literal_added("x-b", "2") + indexed(63));
  good("4.3 a smaller table, then an entry",
       table_size(0) + table_size(100) + by_index + literal_added(":authority", "a"));
  good("4.4 an entry larger than the table",
       by_index + literal_added(":authority", "a") + literal_added("x-big", junk(5000)));
  good("6.3 a table size", table_size(128) + request_block());
  good("6.3 two table sizes", table_size(128) + table_size(4096) + request_block());
  for (const auto& [id, bytes] : hpack_fields()) {
    to.push_back({"RFC 7541 " + id, {raw_block(bytes)}, answer()});
  }
  for (const auto& [id, bytes] : hpack_errors()) {
    to.push_back({"RFC 7541 " + id, {raw_block(bytes)}, goes({compression_error})});
  }
  to.push_back({"RFC 7541 6.3 a table larger than agreed",
                {headers(1, table_size(70000) + request_block(), whole)},
                goes({compression_error})});
  to.push_back({"RFC 7541 the table from request to request",
                {headers(1, request_block() + literal_added("x-a", "1"), whole),
                 headers(3, request_block() + indexed(62), whole)},
                answer(3)});
  to.push_back({"RFC 7541 the table after a reset",
                {headers(1, request_block() + literal_added("x-a", "1")) + rst_stream(1, cancel) +
                 headers(3, request_block() + indexed(62), whole)},
                answer(3)});
}

}  // namespace

const std::vector<ServerCase>& server_cases() {
  static const Cases all = [] {
    Cases cases;
    add_preface(cases);
    add_frames(cases);
    add_states(cases);
    add_definitions(cases);
    add_messages(cases);
    add_fields(cases);
    add_hpack(cases);
    return cases;
  }();
  return all;
}

}  // namespace outrigger::http::h2
